#include "nestgate/app/metrics.hpp"

#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string_view>
#include <utility>

namespace nestgate::app {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

MetricFamily make_family(std::string_view name, std::string_view help, MetricType type) {
  return {std::string("nestgate_").append(name), std::string(help), type, {}};
}

void add_value(MetricFamily& family, double value, std::vector<ClientMetric::Label> labels = {}) {
  ClientMetric metric;
  metric.label = std::move(labels);
  (family.type == MetricType::Counter ? metric.counter.value : metric.gauge.value) = value;
  family.metric.push_back(std::move(metric));
}

MetricFamily single(std::string_view name, std::string_view help, MetricType type, double value) {
  auto family = make_family(name, help, type);
  add_value(family, value);
  return family;
}

MetricFamily counter(std::string_view name, std::string_view help, Counter const& value) {
  return single(name, help, MetricType::Counter, static_cast<double>(value.read()));
}

MetricFamily gauge(std::string_view name, std::string_view help, Gauge const& value) {
  return single(name, help, MetricType::Gauge, static_cast<double>(value.read()));
}

std::string text(std::string_view view) { return std::string(view); }

// All of them, summed.
ClientMetric::Histogram histogram_of(std::vector<LatencyHistogram const*> const& parts) {
  constexpr double us_per_second = 1e6;
  ClientMetric::Histogram out;
  std::uint64_t count = 0;
  for (std::size_t i = 0; i <= LatencyHistogram::bounds_us.size(); ++i) {
    for (auto const* part : parts) count += part->bucket(i);
    bool const last = i == LatencyHistogram::bounds_us.size();
    double const bound = last ? std::numeric_limits<double>::infinity() : LatencyHistogram::bounds_us[i] / us_per_second;
    out.bucket.push_back({count, bound});
  }
  out.sample_count = count;
  for (auto const* part : parts) out.sample_sum += static_cast<double>(part->sum_us()) / us_per_second;
  return out;
}

// Adds up what `read` gives for each core.
class Sum {
 public:
  explicit Sum(std::vector<proxy::Stats const*> const& cores) : cores_(cores) {}

  template <class Read>
  double of(Read read) const {
    double sum = 0;
    for (auto const* core : cores_) sum += static_cast<double>(read(*core).read());
    return sum;
  }
  template <class Read>
  ClientMetric::Histogram histogram(Read read) const {
    std::vector<LatencyHistogram const*> parts;
    parts.reserve(cores_.size());
    for (auto const* core : cores_) parts.push_back(&read(*core));
    return histogram_of(parts);
  }

 private:
  std::vector<proxy::Stats const*> const& cores_;
};

MetricFamily requests(Sum const& sum) {
  auto family = make_family("requests_total", "Requests answered, by route and class of status.", MetricType::Counter);
  for (std::size_t route = 0; route < proxy::route_kinds; ++route) {
    for (std::size_t status = 0; status < proxy::status_classes; ++status) {
      auto const count = sum.of([=](auto const& core) -> auto& { return core.requests[route][status]; });
      auto const kind = static_cast<http::RouteKind>(route);
      add_value(family, count, {{"route", text(to_string(kind))}, {"status", std::to_string(status + 1) + "xx"}});
    }
  }
  return family;
}

MetricFamily latency(Sum const& sum, std::string_view name, std::string_view help,
                     std::array<LatencyHistogram, proxy::route_kinds> proxy::Stats::* member) {
  auto family = make_family(name, help, MetricType::Histogram);
  for (std::size_t route = 0; route < proxy::route_kinds; ++route) {
    ClientMetric metric;
    metric.label = {{"route", text(to_string(static_cast<http::RouteKind>(route)))}};
    metric.histogram = sum.histogram([=](auto const& core) -> auto& { return (core.*member)[route]; });
    family.metric.push_back(std::move(metric));
  }
  return family;
}

// One counter for each value of an enum.
template <class Enum, std::size_t N>
MetricFamily by_reason(Sum const& sum, std::string_view name, std::string_view help,
                       std::array<Counter, N> proxy::Stats::* member) {
  auto family = make_family(name, help, MetricType::Counter);
  for (std::size_t i = 0; i < N; ++i) {
    auto const count = sum.of([=](auto const& core) -> auto& { return (core.*member)[i]; });
    add_value(family, count, {{"reason", text(to_string(static_cast<Enum>(i)))}});
  }
  return family;
}

// Field `index` of /proc/self/stat, counted from 1 as in proc(5), or 0.
double stat_field(std::size_t index) {
  std::ifstream in("/proc/self/stat");
  std::string line;
  std::getline(in, line);
  constexpr std::size_t fields_before = 2;  // the process id, and the name in parentheses that may hold spaces
  auto at = line.rfind(')');
  for (std::size_t field = fields_before; field < index && at != line.npos; ++field) at = line.find(' ', at + 1);
  return at == line.npos ? 0 : std::strtod(line.c_str() + at, nullptr);
}

double boot_time() {
  std::ifstream in("/proc/stat");
  for (std::string word; in >> word;) {
    double seconds = 0;
    if (word == "btime" && in >> seconds) return seconds;
  }
  return 0;
}

double open_descriptors() {
  std::error_code ec;
  double count = 0;
  for (std::filesystem::directory_iterator it("/proc/self/fd", ec), end; !ec && it != end; it.increment(ec)) ++count;
  return count;
}

}  // namespace

std::vector<MetricFamily> ProxyCollector::Collect() const {
  using proxy::Stats;
  Sum const sum(cores_);
  std::vector<MetricFamily> out;
  auto const counter = [&](std::string_view name, std::string_view help, Counter Stats::* member) {
    out.push_back(single(name, help, MetricType::Counter, sum.of([=](auto const& core) -> auto& { return core.*member; })));
  };
  auto const gauge = [&](std::string_view name, std::string_view help, Gauge Stats::* member) {
    out.push_back(single(name, help, MetricType::Gauge, sum.of([=](auto const& core) -> auto& { return core.*member; })));
  };
  out.push_back(requests(sum));
  out.push_back(latency(sum, "request_duration_seconds",
                        "From the first byte of a request's head to the last of its answer, websockets left out.",
                        &Stats::duration));
  out.push_back(latency(sum, "upstream_wait_seconds", "From a request sent to a nested server to the head of its answer.",
                        &Stats::upstream_wait));
  out.push_back(by_reason<proxy::Reject>(
      sum, "rejects_total", "Requests, connections and upgrades that the gateway turned away.", &Stats::rejected));
  counter("connections_accepted_total", "Client connections accepted.", &Stats::connections_accepted);
  gauge("connections_open", "Client connections open, websockets included.", &Stats::connections_open);
  counter("tunnels_opened_total", "Websockets opened.", &Stats::tunnels_opened);
  gauge("tunnels_open", "Websockets open.", &Stats::tunnels_open);
  out.push_back(by_reason<proxy::TunnelEnd>(sum, "tunnels_ended_total", "Websockets ended, by who or what ended them.",
                                            &Stats::tunnels_ended));
  gauge("tunnel_backlog_bytes", "Bytes that websocket clients have not read yet.", &Stats::tunnel_backlog_bytes);
  counter("client_received_bytes_total", "Bytes of bodies and websockets from clients, heads left out.",
          &Stats::client_bytes_in);
  counter("client_sent_bytes_total", "Bytes of bodies and websockets to clients, heads left out.", &Stats::client_bytes_out);
  counter("upstream_connects_total", "Connections made to nested servers.", &Stats::upstream_connects);
  counter("upstream_connect_failures_total", "Connections to nested servers that could not be made.",
          &Stats::upstream_connect_failures);
  counter("upstream_reuses_total", "Requests sent on a kept connection.", &Stats::upstream_reused);
  counter("upstream_resends_total", "Requests sent again because a kept connection had ended.", &Stats::upstream_resent);
  gauge("upstream_connections_in_use", "Connections to nested servers in use, tunnels included.", &Stats::upstream_in_use);
  counter("aliases_learnt_total", "Conversation ids learnt from answers of nested servers.", &Stats::aliases_learnt);
  return out;
}

std::vector<MetricFamily> ConversationCollector::Collect() const {
  auto runtimes = make_family("runtimes", "Runtimes, by state.", MetricType::Gauge);
  for (std::size_t i = 0; i < stats_.runtimes.size(); ++i) {
    auto const state = static_cast<conversation::RuntimeState>(i);
    add_value(runtimes, static_cast<double>(stats_.runtimes[i].read()), {{"state", text(to_string(state))}});
  }
  return {std::move(runtimes),
          counter("runtime_starts_total", "Starts of runtimes.", stats_.starts),
          counter("runtime_start_failures_total", "Starts of runtimes that failed.", stats_.start_failures),
          counter("runtime_deaths_total", "Runtimes that ended without being asked to.", stats_.deaths),
          counter("runtime_starts_refused_total", "Starts that a quota refused.", stats_.refused_by_quota),
          counter("runtime_starts_warm_total", "Starts from the warm pool.", stats_.warm_starts),
          counter("runtime_wakes_total", "Starts and resumes by a user's act.", stats_.wakes),
          counter("runtimes_closed_for_room_total", "Conversations stopped to make room.", stats_.closed_for_room),
          counter("runtimes_closed_idle_total", "Conversations paused or stopped because nobody used them.",
                  stats_.closed_when_idle),
          counter("runtimes_recovered_total", "Conversations taken over from a gateway that is no more.", stats_.recovered),
          counter("orphans_removed_total", "Runtimes removed that no conversation had.", stats_.orphans_removed),
          gauge("orphans", "Runtimes of this installation that no conversation has.", stats_.orphans),
          gauge("warm_runtimes", "Runtimes that wait in the warm pool.", stats_.warm_ready)};
}

std::vector<MetricFamily> AutomationCollector::Collect() const {
  auto const time = [](std::string_view name, std::string_view help, LatencyHistogram const& value) {
    auto family = make_family(name, help, MetricType::Histogram);
    ClientMetric metric;
    metric.histogram = histogram_of({&value});
    family.metric.push_back(std::move(metric));
    return family;
  };
  auto ended = make_family("runs_ended_total", "Automation runs that ended, by how.", MetricType::Counter);
  add_value(ended, static_cast<double>(stats_.completed.read()), {{"status", "completed"}});
  add_value(ended, static_cast<double>(stats_.failed.read()), {{"status", "failed"}});
  add_value(ended, static_cast<double>(stats_.cancelled.read()), {{"status", "cancelled"}});
  add_value(ended, static_cast<double>(stats_.skipped.read()), {{"status", "skipped"}});
  auto attempts =
      make_family("run_callbacks_total", "Completion callbacks, by what became of each attempt.", MetricType::Counter);
  add_value(attempts, static_cast<double>(stats_.callbacks_delivered.read()), {{"result", "delivered"}});
  add_value(attempts, static_cast<double>(stats_.callback_attempts_failed.read()), {{"result", "failed"}});
  add_value(attempts, static_cast<double>(stats_.callbacks_given_up.read()), {{"result", "given_up"}});
  auto retries =
      make_family("run_dispatch_retries_total", "What was done again to start runs, by why.", MetricType::Counter);
  add_value(retries, static_cast<double>(stats_.upload_retries.read()), {{"reason", "failed"}});
  add_value(retries, static_cast<double>(stats_.start_searches.read()), {{"reason", "start_unanswered"}});
  add_value(retries, static_cast<double>(stats_.starts_resent.read()), {{"reason", "start_not_found"}});
  std::vector<MetricFamily> out;
  out.push_back(
      counter("runs_submitted_total", "Automation runs by hand, by events, or with their own tarball.", stats_.submitted));
  out.push_back(gauge("runs_in_flight", "Automation runs that this gateway works on.", stats_.in_flight));
  out.push_back(gauge("runs_waiting", "Automation runs that wait for their turn, as of the last look.", stats_.waiting));
  out.push_back(time("run_wait_seconds", "From when a run may start until it is claimed.", stats_.wait));
  out.push_back(time("run_dispatch_seconds", "From a run's claim until its command runs.", stats_.dispatch));
  out.push_back(counter("run_attempts_again_total", "Failed runs that wait for another attempt.", stats_.attempts_again));
  out.push_back(counter("runs_taken_over_total", "Runs taken over from gateways that were gone.", stats_.taken_over));
  out.push_back(gauge("schedules", "Schedules that are planned.", stats_.schedules));
  out.push_back(time("schedule_lateness_seconds",
                     "From a schedule's moment until its run is durable and waits to be claimed.", stats_.lateness));
  out.push_back(counter("schedule_firings_total", "Runs that schedules made.", stats_.firings));
  out.push_back(
      counter("schedule_firings_skipped_total", "Firings that an overlap policy left out.", stats_.firings_skipped));
  out.push_back(
      counter("run_endpoints_disabled_total", "Completion endpoints that were switched off.", stats_.endpoints_disabled));
  for (auto* family : {&ended, &attempts, &retries}) out.push_back(std::move(*family));
  return out;
}

std::vector<MetricFamily> EventCollector::Collect() const {
  auto unmatched =
      make_family("event_filters_given_up_total", "Filters that did not match an event because they were given up, by why.",
                  MetricType::Counter);
  add_value(unmatched, static_cast<double>(stats_.filters_over_budget.read()), {{"reason", "over_budget"}});
  add_value(unmatched, static_cast<double>(stats_.filters_failed.read()), {{"reason", "failed"}});
  return {counter("events_received_total", "Events with a good signature, well-formed or not.", stats_.received),
          counter("events_refused_total", "Events without a known source or a good signature.", stats_.refused),
          counter("events_unrecognised_total", "Events received that nobody could want.", stats_.unrecognised),
          counter("events_redelivered_total", "Events received that were known by their delivery id.", stats_.redelivered),
          counter("event_runs_total", "Automation runs that events made.", stats_.runs),
          std::move(unmatched)};
}

CounterCollector::CounterCollector(std::string name, std::string help, std::function<double()> read)
    : name_(std::move(name)), help_(std::move(help)), read_(std::move(read)) {}

std::vector<MetricFamily> CounterCollector::Collect() const { return {single(name_, help_, MetricType::Counter, read_())}; }

std::vector<MetricFamily> ProcessCollector::Collect() const {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  auto const seconds = [](timeval const& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
  };
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  constexpr std::size_t start_time_field = 22, resident_pages_field = 24;
  auto const ticks = static_cast<double>(::sysconf(_SC_CLK_TCK));
  auto const page = static_cast<double>(::sysconf(_SC_PAGESIZE));

  auto build = make_family("build_info", "The version that runs; always 1.", MetricType::Gauge);
  add_value(build, 1, {{"version", NESTGATE_VERSION}});
  return {
      std::move(build),
      single("process_cpu_seconds_total", "CPU time of user and system.", MetricType::Counter,
             seconds(usage.ru_utime) + seconds(usage.ru_stime)),
      single("process_resident_memory_bytes", "Resident memory.", MetricType::Gauge,
             stat_field(resident_pages_field) * page),
      single("process_open_fds", "Open file descriptors.", MetricType::Gauge, open_descriptors()),
      single("process_max_fds", "Open file descriptors allowed.", MetricType::Gauge, static_cast<double>(files.rlim_cur)),
      single("process_start_time_seconds", "Start of the process since the Unix epoch.", MetricType::Gauge,
             boot_time() + stat_field(start_time_field) / ticks)};
}

}  // namespace nestgate::app
