#include "automation/poster.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "automation/own_run.hpp"
#include "automation/run_book.hpp"
#include "nestgate/automation/completion.hpp"
#include "nestgate/base/text.hpp"
#include "nestgate/identity/webhook_signature.hpp"
#include "nestgate/upstream/random.hpp"
#include "support/backing.hpp"
#include "support/gate.hpp"
#include "support/store_file.hpp"

namespace nestgate::automation {
namespace {

using namespace std::chrono_literals;
using store::DeliveryRow;
using store::DeliveryState;
using store::EndpointRow;
using store::RunRow;
using test::Reply;
using test::ScriptedServer;
using testing::HasSubstr;
using testing::IsEmpty;

std::string new_uuid() { return dashed_uuid(upstream::random_uuid_hex()); }

class Completions : public testing::Test {
 protected:
  explicit Completions(std::string const& url = "sqlite::memory:") : backing(control, url) {
    settings.private_callbacks = PrivateCallbacks::allow;
  }
  ~Completions() override {
    if (poster_) control.run(poster_->stop(Deadline::in(0s)));
  }

  Poster& poster() {
    if (!poster_) {
      poster_.emplace(control.executor(), Poster::With{rows, settings, stats, "g"});
      poster_->start();
    }
    return *poster_;
  }
  std::string url(std::string const& path = "/done") const {
    return "http://127.0.0.1:" + std::to_string(sink.port()) + path;
  }
  std::string add_endpoint(std::string to, std::optional<store::Time> failing_since = {}) {
    EndpointRow endpoint;
    endpoint.id = new_uuid();
    endpoint.tenant = tenant;
    endpoint.url = std::move(to);
    endpoint.secrets.emplace_back(std::string(32, 'n'));
    endpoint.secrets.emplace_back(std::string(32, 'o'));
    endpoint.failing_since = failing_since;
    auto id = endpoint.id;
    EXPECT_TRUE(control.run(rows.put_endpoint(std::move(endpoint))));
    return id;
  }
  EndpointRow endpoint(std::string id) { return control.run(rows.find_endpoint(std::move(id))).value().value(); }
  // A run that ends; its deliveries wait.
  std::string end_run(std::string callback = "") {
    RunRow run;
    run.id = new_uuid();
    run.tenant = tenant;
    OwnRun own;
    own.callback_url = std::move(callback);
    run.wish_json = to_json(own);
    auto const id = run.id;
    std::vector<RunRow> runs;
    runs.push_back(std::move(run));
    EXPECT_TRUE(control.run(rows.enqueue(std::move(runs), 0)));
    EXPECT_TRUE(control.run(rows.claim({id}, "gateway", {})));
    RunBook book(rows, stats);
    book.listen({[](RunRow const&) {}, [](RunRow const&) {},
                 [this] {
                   if (poster_) poster_->wake();
                 }});
    Report report;
    report.cost = 0.5;
    EXPECT_EQ(control.run(book.apply(id, std::nullopt, Reported{report})).value().effect, Effect::settled);
    return id;
  }
  DeliveryRow delivery_of(std::string run_id) {
    auto page = control.run(rows.list_deliveries(std::move(run_id), {})).value();
    EXPECT_EQ(page.rows.size(), 1U);
    return std::move(page.rows.at(0));
  }
  DeliveryRow until(std::string const& run_id, std::function<bool(DeliveryRow const&)> const& holds) {
    poster();
    auto const end = Clock::now() + std::chrono::milliseconds(test::patience_ms);
    for (;;) {
      auto delivery = delivery_of(run_id);
      if (holds(delivery)) return delivery;
      if (Clock::now() > end) {
        ADD_FAILURE() << "after " << delivery.attempts << " attempts it is " << to_string(delivery.state);
        return delivery;
      }
      control.run(one_turn());
    }
  }
  DeliveryRow until_ended(std::string const& run_id) {
    return until(run_id, [](DeliveryRow const& delivery) { return delivery.state != DeliveryState::waiting; });
  }
  DeliveryRow until_tried(std::string const& run_id, std::uint32_t attempts) {
    return until(run_id, [attempts](DeliveryRow const& delivery) { return delivery.attempts == attempts; });
  }
  static Task<> one_turn() { [[maybe_unused]] auto waited = co_await pause_for(1ms); }
  std::vector<store::DeliveryAttemptRow> attempts(DeliveryRow const& delivery) {
    return control.run(rows.attempts(delivery.id)).value();
  }

  ScriptedServer sink;
  test::Control control;
  test::Backing backing;
  store::AutomationStore& rows = backing.store->automations();
  store::Tenant const tenant{new_uuid(), new_uuid()};
  Settings settings;
  Stats stats;

 private:
  std::optional<Poster> poster_;
};

TEST_F(Completions, ArePostedToAnEndpointWithASignatureByEachOfItsKeys) {
  add_endpoint(url());
  auto const run_id = end_run();
  auto const delivery = until_ended(run_id);
  EXPECT_EQ(delivery.state, DeliveryState::delivered);
  ASSERT_EQ(sink.requests().size(), 1U);
  auto const posted = sink.requests()[0];
  EXPECT_EQ(posted.line(), "POST /done");
  EXPECT_EQ(posted.value("content-type"), "application/json");
  EXPECT_EQ(posted.value("webhook-id"), delivery.id);
  EXPECT_EQ(posted.value("authorization"), "");
  EXPECT_EQ(posted.body, delivery.payload);
  EXPECT_EQ(posted.body, completion_event(control.run(rows.find_run(run_id)).value().value()));
  auto const id = posted.value("webhook-id"), at = posted.value("webhook-timestamp"),
             signature = posted.value("webhook-signature");
  for (char const key : {'n', 'o'}) {
    std::vector<Secret> keys;
    keys.emplace_back(std::string(32, key));
    EXPECT_TRUE(identity::verify_webhook(keys, {id, at, signature}, posted.body, {std::chrono::system_clock::now()}));
  }
  auto const tried = attempts(delivery);
  ASSERT_EQ(tried.size(), 1U);
  EXPECT_EQ(tried[0].number, 1U);
  EXPECT_EQ(tried[0].status_code, 200);
  EXPECT_EQ(tried[0].error, "");
}

TEST_F(Completions, ArePostedToAPlainCallbackSignedWithTheGatewaysKeys) {
  std::vector<Secret> keys;
  keys.emplace_back(std::string(32, 'k'));
  settings.webhook_signing_keys = std::make_shared<std::vector<Secret> const>(std::move(keys));
  auto const run_id = end_run(url("/plain?x=1"));
  EXPECT_EQ(until_ended(run_id).state, DeliveryState::delivered);
  auto const posted = sink.requests().at(0);
  EXPECT_EQ(posted.line(), "POST /plain?x=1");
  EXPECT_EQ(posted.body, R"({"status":"COMPLETED","run_id":")" + run_id + R"(","cost":0.5})");
  auto const id = posted.value("webhook-id"), at = posted.value("webhook-timestamp"),
             signature = posted.value("webhook-signature");
  EXPECT_TRUE(identity::verify_webhook(*settings.webhook_signing_keys, {id, at, signature}, posted.body,
                                       {std::chrono::system_clock::now()}));
}

TEST_F(Completions, OfAnAutomationCarryItsBearer) {
  store::AutomationRow automation;
  automation.id = new_uuid();
  automation.tenant = tenant;
  automation.trigger_json = "{}";
  automation.callback_json = to_json(PlainCallback{url(), Secret("its token")});
  auto const automation_id = automation.id;
  ASSERT_TRUE(control.run(rows.create(std::move(automation))));
  RunRow run;
  run.id = new_uuid();
  run.automation_id = automation_id;
  run.tenant = tenant;
  auto const run_id = run.id;
  std::vector<RunRow> runs;
  runs.push_back(std::move(run));
  ASSERT_TRUE(control.run(rows.enqueue(std::move(runs), 0)));
  RunBook book(rows, stats);
  book.listen({[](RunRow const&) {}, [](RunRow const&) {}, [] {}});
  ASSERT_TRUE(control.run(book.apply(run_id, std::nullopt, CancelAsked{})));
  until_ended(run_id);
  auto const posted = sink.requests().at(0);
  EXPECT_EQ(posted.value("authorization"), "Bearer its token");
  EXPECT_EQ(posted.body, R"({"status":"CANCELLED","run_id":")" + run_id + R"(","error":"Cancelled by user"})");
}

TEST_F(Completions, AreTriedAgainWithGrowingPausesAndTheSameId) {
  sink.on("POST /done", {500, ""});
  add_endpoint(url());
  auto const run_id = end_run();
  std::chrono::system_clock::duration pause{};
  for (std::uint32_t number = 1; number <= 4; ++number) {
    auto const failed = until_tried(run_id, number);
    EXPECT_EQ(failed.state, DeliveryState::waiting);
    auto const longest = settings.delivery_pause_first * (1 << (number - 1));
    auto const tried = attempts(failed).back();
    pause = failed.next_at - tried.at;
    EXPECT_GE(pause, longest / 2) << number;
    EXPECT_LE(pause, longest + 2s) << number;
    EXPECT_EQ(tried.status_code, 500);
    EXPECT_THAT(tried.error, HasSubstr("500"));
    ASSERT_TRUE(control.run(rows.resend(run_id, failed.id)));  // as if the pause were over
    poster().wake();
  }
  sink.on("POST /done", {204, ""});
  auto const delivered = until_ended(run_id);
  EXPECT_EQ(delivered.state, DeliveryState::delivered);
  for (auto const& posted : sink.requests()) EXPECT_EQ(posted.value("webhook-id"), delivered.id);
  EXPECT_EQ(stats.callbacks_delivered.read(), 1U);
}

TEST_F(Completions, WaitAsLongAsTheReceiverSays) {
  sink.on("POST /done", {503, "", "Retry-After: 1234\r\n"});
  add_endpoint(url());
  auto const failed = until_tried(end_run(), 1);
  EXPECT_EQ(failed.state, DeliveryState::waiting);
  EXPECT_GE(failed.next_at - attempts(failed).back().at, 1234s);
}

TEST_F(Completions, WaitForHoursWhereTheReceiverSaysSo) {
  sink.on("POST /done", {503, "", "Retry-After: 7200\r\n"});
  add_endpoint(url());
  auto const failed = until_tried(end_run(), 1);
  EXPECT_EQ(failed.state, DeliveryState::waiting);
  EXPECT_GE(failed.next_at - attempts(failed).back().at, 2h);
}

TEST_F(Completions, AreTriedOnceMoreBeforeTheyAreGivenUpWhereTheReceiverWantsToWaitLonger) {
  sink.on("POST /done", {503, "", "Retry-After: 999999\r\n"});
  add_endpoint(url());
  auto const failed = until_tried(end_run(), 1);
  EXPECT_EQ(failed.state, DeliveryState::waiting);
  EXPECT_EQ(failed.next_at, failed.created_at + settings.delivery_give_up);
}

TEST_F(Completions, AreNoMoreWantedByAnEndpointThatIsGone) {
  sink.on("POST /done", {410, ""});
  auto const endpoint_id = add_endpoint(url());
  settings.deliveries_at_once_max = 1;
  auto const first = end_run();
  auto const second = end_run();
  EXPECT_EQ(until_ended(first).state, DeliveryState::failed);
  auto const kept = endpoint(endpoint_id);
  EXPECT_FALSE(kept.enabled);
  EXPECT_EQ(kept.disabled_reason, "it answered 410 Gone");
  auto const left = until_ended(second);
  EXPECT_EQ(left.state, DeliveryState::failed);
  EXPECT_LE(sink.requests().size(), 2U);
  EXPECT_EQ(stats.endpoints_disabled.read(), 1U);
  EXPECT_THAT(control.run(rows.list_deliveries(end_run(), {})).value().rows, IsEmpty());
}

TEST_F(Completions, AreNotPostedToAnEndpointThatIsSwitchedOff) {
  auto const endpoint_id = add_endpoint(url());
  auto const run_id = end_run();
  auto off = endpoint(endpoint_id);
  off.enabled = false;
  ASSERT_TRUE(control.run(rows.put_endpoint(std::move(off))));
  auto const failed = until_ended(run_id);
  EXPECT_EQ(failed.state, DeliveryState::failed);
  EXPECT_EQ(attempts(failed).back().error, "callback: its endpoint is switched off");
  EXPECT_THAT(sink.requests(), IsEmpty());
}

TEST_F(Completions, AreNotPostedToAnEndpointThatWasRemoved) {
  auto const endpoint_id = add_endpoint(url());
  auto const run_id = end_run();
  ASSERT_TRUE(control.run(rows.remove_endpoint(endpoint_id)));
  auto const failed = until_ended(run_id);
  EXPECT_EQ(failed.state, DeliveryState::failed);
  EXPECT_EQ(attempts(failed).back().error, "callback: its endpoint was removed");
}

TEST_F(Completions, SwitchOffAnEndpointThatFailedForDays) {
  sink.on("POST /done", {500, ""});
  auto const now = std::chrono::system_clock::now();
  auto const lately = add_endpoint(url(), now - std::chrono::days(4));
  until_tried(end_run(), 1);
  EXPECT_TRUE(endpoint(lately).enabled);
  ASSERT_TRUE(control.run(rows.remove_endpoint(lately)));
  auto const long_ago = add_endpoint(url(), now - std::chrono::days(6));
  until_tried(end_run(), 1);
  EXPECT_FALSE(endpoint(long_ago).enabled);
  EXPECT_EQ(endpoint(long_ago).disabled_reason, "it failed for days");
}

TEST_F(Completions, GoNowhereInside) {
  settings.private_callbacks = PrivateCallbacks::refuse;
  auto const port = std::to_string(sink.port());
  for (std::string const host : {"127.0.0.1", "[::ffff:127.0.0.1]", "[::1]", "localhost", "0.0.0.0", "10.0.0.1",
                                 "[::ffff:10.0.0.1]", "169.254.169.254", "[fe80::1]", "[fd00::1]"}) {
    auto const endpoint_id = add_endpoint("http://" + host + ":" + port + "/done");
    auto const failed = until_ended(end_run());
    EXPECT_EQ(failed.state, DeliveryState::failed) << host;
    EXPECT_EQ(failed.attempts, 1U) << host;
    EXPECT_EQ(attempts(failed).back().status_code, 0) << host;
    ASSERT_TRUE(control.run(rows.remove_endpoint(endpoint_id)));
  }
  EXPECT_THAT(sink.requests(), IsEmpty());
}

TEST_F(Completions, FollowNoRedirect) {
  ScriptedServer other;
  sink.on("POST /done", {302, "", "Location: http://127.0.0.1:" + std::to_string(other.port()) + "/\r\n"});
  add_endpoint(url());
  auto const failed = until_tried(end_run(), 1);
  EXPECT_EQ(failed.state, DeliveryState::waiting);
  EXPECT_EQ(attempts(failed).back().status_code, 302);
  EXPECT_THAT(other.requests(), IsEmpty());
}

TEST_F(Completions, AreTakenWhateverLongAnswerTheReceiverGives) {
  sink.on("POST /done", {200, std::string(1'000'000, 'x')});
  add_endpoint(url());
  auto const delivery = until_ended(end_run());
  EXPECT_EQ(delivery.state, DeliveryState::delivered);
  EXPECT_EQ(delivery.attempts, 1U);
}

TEST_F(Completions, AreGivenUpAfterTheirTime) {
  settings.delivery_give_up = 0s;
  sink.on("POST /done", {500, ""});
  add_endpoint(url());
  auto const failed = until_ended(end_run());
  EXPECT_EQ(failed.state, DeliveryState::failed);
  EXPECT_EQ(failed.attempts, 1U);
  EXPECT_EQ(stats.callbacks_given_up.read(), 1U);
}

TEST_F(Completions, ThatADeadGatewayClaimedArePostedAgainWithTheirId) {
  add_endpoint(url());
  auto const run_id = end_run();
  settings.scan_interval = 10ms;
  ASSERT_TRUE(control.run(backing.store->renew("another", 1h)));
  auto const claimed = control.run(rows.claim_deliveries("another", 1h, 10)).value();
  ASSERT_EQ(claimed.size(), 1U);
  poster();
  ASSERT_TRUE(control.run(backing.store->leave("another")));
  auto const delivered = until_ended(run_id);
  EXPECT_EQ(delivered.state, DeliveryState::delivered);
  EXPECT_EQ(sink.requests().at(0).value("webhook-id"), claimed[0].delivery.id);
}

TEST_F(Completions, ToAServerThatDoesNotAnswerHoldUpNoOthers) {
  test::Gate gate;
  ScriptedServer silent([&](test::Request const&) {
    gate.pass();
    return Reply{200, ""};
  });
  auto const silent_url = "http://127.0.0.1:" + std::to_string(silent.port()) + "/";
  settings.deliveries_at_once_max = 2;
  settings.delivery_time_max = 50ms;
  until_tried(end_run(silent_url), 1);
  settings.delivery_time_max = std::chrono::milliseconds(2 * test::patience_ms);
  for (int i = 0; i < 3; ++i) end_run(silent_url);
  EXPECT_EQ(until_ended(end_run(url())).state, DeliveryState::delivered);
  gate.open();
}

TEST_F(Completions, UnderWayAreWrittenDownWhenTheGatewayStops) {
  test::Gate gate;
  std::atomic<bool> is_there = false;
  ScriptedServer slow([&](test::Request const&) {
    is_there = true;
    gate.pass();
    return Reply{200, ""};
  });
  add_endpoint("http://127.0.0.1:" + std::to_string(slow.port()) + "/");
  auto const run_id = end_run();
  poster();
  control.run_until([&] { return is_there.load(); });
  TaskGroup stopping(control.executor());
  stopping.spawn("stop", poster().stop(Deadline::in(20s)));
  gate.open();
  control.run_until([&] { return stopping.size() == 0; });
  EXPECT_EQ(delivery_of(run_id).state, DeliveryState::delivered);
}

RunRow ended_run() {
  RunRow run;
  run.id = "r";
  run.status = RunStatus::completed;
  run.created_at = store::Time(1'790'000'000s);
  return run;
}

TEST(Completion, IsToldAsTheSdkTellsIt) {
  auto run = ended_run();
  EXPECT_EQ(plain_completion(run), R"({"status":"COMPLETED","run_id":"r"})");
  run.status = RunStatus::failed;
  run.error_detail = "boom";
  run.conversation_id = "c";
  run.cost = 1.5;
  EXPECT_EQ(plain_completion(run), R"({"status":"FAILED","run_id":"r","error":"boom","conversation_id":"c","cost":1.5})");
}

TEST(Completion, IsToldAsAnEvent) {
  auto run = ended_run();
  EXPECT_EQ(completion_event(run), R"({"type":"automation.run.completed","timestamp":"2026-09-21T14:13:20.000000Z",)"
                                   R"("data":{"run_id":"r","attempt":1,"status":"completed"}})");
  run.status = RunStatus::failed;
  run.automation_id = "a";
  run.attempt = 2;
  run.exit_code = 3;
  run.scheduled_for = store::Time(1'790'000'000s);
  run.started_at = store::Time(1'790'000'001s);
  run.completed_at = store::Time(1'790'000'003s);
  run.error_detail = "boom";
  EXPECT_EQ(completion_event(run),
            R"({"type":"automation.run.failed","timestamp":"2026-09-21T14:13:23.000000Z","data":{"run_id":"r",)"
            R"("automation_id":"a","attempt":2,"status":"failed","exit_code":3,"scheduled_for":"2026-09-21T14:13:20Z",)"
            R"("dur_ms":2000,"error":"boom"}})");
}

TEST(Completion, KeepsAPlainCallbackAsJson) {
  PlainCallback const callback{"https://example.com/\"x\"", Secret("to\"ken")};
  auto const again = parse_plain_callback(to_json(callback));
  EXPECT_EQ(again.url, callback.url);
  EXPECT_TRUE(again.bearer.equals("to\"ken"));
  EXPECT_EQ(parse_plain_callback(Secret()).url, "");
}

class UnreadableCompletions : private test::StoreFile, public Completions {
 protected:
  UnreadableCompletions() : Completions(StoreFile::url()) {}
  // As if it were sealed with a secret that is not there any more.
  void spoil(std::string const& table, std::string const& column, std::string const& where) {
    execute("UPDATE " + table + " SET " + column + " = x'00' WHERE " + where);
  }
  void expect_given_up(std::string const& run_id) {
    auto const failed = until_ended(run_id);
    EXPECT_EQ(failed.state, DeliveryState::failed);
    EXPECT_EQ(failed.attempts, 1U);
    EXPECT_EQ(attempts(failed).back().error, "callback: its secret cannot be opened");
  }
};

TEST_F(UnreadableCompletions, AreGivenUpWhileTheOthersArePosted) {
  auto const unreadable = end_run(Completions::url("/lost"));
  auto const readable = end_run(Completions::url());
  spoil("delivery", "callback", "run_id = '" + unreadable + "'");
  expect_given_up(unreadable);
  EXPECT_EQ(until_ended(readable).state, DeliveryState::delivered);
  ASSERT_EQ(sink.requests().size(), 1U);
  EXPECT_EQ(sink.requests()[0].line(), "POST /done");
}

TEST_F(UnreadableCompletions, OfAnEndpointGoNowhereWithoutItsSignature) {
  auto const endpoint_id = add_endpoint(Completions::url());
  auto const unreadable = end_run();
  spoil("endpoint", "secrets", "id = '" + endpoint_id + "'");
  expect_given_up(unreadable);
  EXPECT_THAT(sink.requests(), IsEmpty());
}

}  // namespace
}  // namespace nestgate::automation
