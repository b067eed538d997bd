#include "nestgate/app/metrics.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <prometheus/text_serializer.h>

#include <cstdlib>
#include <sstream>

#include "support/temp_folder.hpp"

namespace nestgate::app {
namespace {

using testing::HasSubstr;

std::string text_of(std::vector<prometheus::MetricFamily> const& families) {
  std::ostringstream out;
  prometheus::TextSerializer().Serialize(out, families);
  return std::move(out).str();
}

std::size_t at(http::RouteKind kind) { return static_cast<std::size_t>(kind); }

class ProxyMetrics : public testing::Test {
 protected:
  std::string text() const { return text_of(ProxyCollector({&first_, &second_}).Collect()); }
  proxy::Stats first_, second_;
};

TEST_F(ProxyMetrics, AddUpTheCores) {
  first_.requests[at(http::RouteKind::prefix)][1].add(2);
  second_.requests[at(http::RouteKind::prefix)][1].add(3);
  first_.connections_open.add(7);
  second_.connections_open.sub(2);
  second_.rejected[static_cast<std::size_t>(proxy::Reject::unauthorized)].add();
  EXPECT_THAT(text(), HasSubstr("\nnestgate_requests_total{route=\"prefix\",status=\"2xx\"} 5\n"));
  EXPECT_THAT(text(), HasSubstr("\nnestgate_connections_open 5\n"));
  EXPECT_THAT(text(), HasSubstr("\nnestgate_rejects_total{reason=\"unauthorized\"} 1\n"));
}

TEST_F(ProxyMetrics, ShowLatenciesInSecondsAndCumulative) {
  auto const route = at(http::RouteKind::host);
  first_.duration[route].observe_us(90);
  second_.duration[route].observe_us(2'000);
  second_.duration[route].observe_us(60'000'000);
  for (auto const line : {"nestgate_request_duration_seconds_count{route=\"host\"} 3\n",
                          "nestgate_request_duration_seconds_sum{route=\"host\"} 60.00209",
                          "nestgate_request_duration_seconds_bucket{route=\"host\",le=\"0.0001\"} 1\n",
                          "nestgate_request_duration_seconds_bucket{route=\"host\",le=\"0.001\"} 1\n",
                          "nestgate_request_duration_seconds_bucket{route=\"host\",le=\"0.0025\"} 2\n",
                          "nestgate_request_duration_seconds_bucket{route=\"host\",le=\"30\"} 2\n",
                          "nestgate_request_duration_seconds_bucket{route=\"host\",le=\"+Inf\"} 3\n"}) {
    EXPECT_THAT(text(), HasSubstr(line));
  }
}

TEST(ConversationMetrics, ShowRuntimesByState) {
  conversation::ManagerStats stats;
  stats.starts.add(4);
  stats.runtimes[static_cast<std::size_t>(conversation::RuntimeState::running)].add(3);
  auto const text = text_of(ConversationCollector(stats).Collect());
  EXPECT_THAT(text, HasSubstr("nestgate_runtimes{state=\"running\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("nestgate_runtimes{state=\"stopped\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("nestgate_runtime_starts_total 4\n"));
}

TEST(EventMetrics, ShowWhatBecameOfEvents) {
  api::EventStats stats;
  stats.received.add(7);
  stats.refused.add(2);
  stats.unrecognised.add();
  stats.redelivered.add(3);
  stats.runs.add(4);
  stats.filters_over_budget.add(5);
  stats.filters_failed.add(6);
  auto const text = text_of(EventCollector(stats).Collect());
  for (auto const line :
       {"\nnestgate_events_received_total 7\n", "\nnestgate_events_refused_total 2\n",
        "\nnestgate_events_unrecognised_total 1\n", "\nnestgate_events_redelivered_total 3\n",
        "\nnestgate_event_runs_total 4\n", "\nnestgate_event_filters_given_up_total{reason=\"over_budget\"} 5\n",
        "\nnestgate_event_filters_given_up_total{reason=\"failed\"} 6\n"}) {
    EXPECT_THAT(text, HasSubstr(line));
  }
}

TEST(ProcessMetrics, AreThoseOfThisProcess) {
  auto const families = ProcessCollector().Collect();
  auto const value = [&families](std::string_view name) {
    for (auto const& family : families) {
      if (family.name != name) continue;
      auto const& metric = family.metric.at(0);
      return family.type == prometheus::MetricType::Counter ? metric.counter.value : metric.gauge.value;
    }
    return -1.0;
  };
  EXPECT_GT(value("nestgate_process_resident_memory_bytes"), 1 << 20);
  EXPECT_GE(value("nestgate_process_open_fds"), 3);
  EXPECT_GE(value("nestgate_process_max_fds"), value("nestgate_process_open_fds"));
  auto const now = static_cast<double>(std::time(nullptr));
  EXPECT_NEAR(value("nestgate_process_start_time_seconds"), now, 3600);
  EXPECT_EQ(value("nestgate_build_info"), 1);
}

TEST(Metrics, PassPromtool) {
  proxy::Stats stats;
  stats.requests[0][1].add();
  stats.duration[0].observe_us(300);
  conversation::ManagerStats conversations;
  automation::Stats automations;
  api::EventStats events;
  std::string text;
  for (auto const& families :
       {ProxyCollector({&stats}).Collect(), ConversationCollector(conversations).Collect(),
        AutomationCollector(automations).Collect(), EventCollector(events).Collect(), ProcessCollector().Collect(),
        CounterCollector("access_log_dropped_lines_total", "Lines dropped.", [] { return 1.0; }).Collect()}) {
    text += text_of(families);
  }
  test::TempFolder const folder;
  auto const input = folder.write("metrics.txt", text);
  auto const output = folder.path() / "promtool.txt";
  auto const command = "/usr/bin/promtool check metrics <" + input.string() + " >" + output.string() + " 2>&1";
  auto const status = std::system(command.c_str());
  EXPECT_EQ(status, 0) << test::read_file(output);
  EXPECT_EQ(test::read_file(output), "");
}

}  // namespace
}  // namespace nestgate::app
