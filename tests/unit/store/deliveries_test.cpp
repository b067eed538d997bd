// What stands around runs: uploads, event sources, completion endpoints and the outbox, documents.
#include "automation_fixture.hpp"

namespace nestgate::store {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::StartsWith;

class Uploads : public AutomationCalls {};
INSTANTIATE_TEST_SUITE_P(On, Uploads, testing::ValuesIn(every_database()), by_name);

UploadRow upload_of(std::string id, std::chrono::seconds created, std::string status = "COMPLETED") {
  UploadRow upload;
  upload.id = std::move(id);
  upload.tenant = alice;
  upload.name = "code";
  upload.description = "my code";
  upload.status = std::move(status);
  upload.error_message = "none";
  upload.size_bytes = 5;
  upload.created_at = at(created);
  upload.updated_at = at(created);
  return upload;
}

TEST_P(Uploads, AreAsTheyWereAdded) {
  std::string const bytes("a\0b\xff\x1f", 5);
  auto const upload = upload_of("u1", 1s);
  gateway_.get(store_.add_upload(upload, bytes));
  EXPECT_TRUE(gateway_.get(store_.find_upload("u1")) == upload);
  EXPECT_EQ(gateway_.get(store_.upload_bytes("u1")), bytes);
  EXPECT_FALSE(gateway_.get(store_.find_upload("u2")));
}

TEST_P(Uploads, ThatFailedHaveNoBytes) {
  gateway_.get(store_.add_upload(upload_of("u1", 1s, "FAILED"), "half"));
  EXPECT_EQ(gateway_.get(store_.upload_bytes("u1")), std::nullopt);
}

TEST_P(Uploads, LoseTheirBytesWhenTheyAreRemoved) {
  gateway_.get(store_.add_upload(upload_of("u1", 1s), "bytes"));
  gateway_.get(store_.remove_upload("u1"));
  auto const deleted_at = gateway_.get(store_.find_upload("u1"))->deleted_at;
  EXPECT_TRUE(deleted_at);
  EXPECT_EQ(gateway_.get(store_.upload_bytes("u1")), std::nullopt);
  gateway_.get(store_.remove_upload("u1"));
  EXPECT_EQ(gateway_.get(store_.find_upload("u1"))->deleted_at, deleted_at);
}

TEST_P(Uploads, AreListedNewestFirst) {
  gateway_.get(store_.add_upload(upload_of("u1", 1s), ""));
  gateway_.get(store_.add_upload(upload_of("u2", 2s, "FAILED"), ""));
  gateway_.get(store_.add_upload(upload_of("u3", 3s), ""));
  auto hidden = upload_of("u4", 4s);
  hidden.is_listed = false;
  gateway_.get(store_.add_upload(hidden, ""));
  gateway_.get(store_.remove_upload("u3"));
  EXPECT_THAT(ids_of_rows(gateway_.get(store_.list_uploads(alice, "", {})).rows), ElementsAre("u2", "u1"));
  EXPECT_THAT(ids_of_rows(gateway_.get(store_.list_uploads(alice, "FAILED", {})).rows), ElementsAre("u2"));
  EXPECT_EQ(gateway_.get(store_.list_uploads(alice, "", {1, 1})).total, 2u);
  EXPECT_EQ(gateway_.get(store_.list_uploads(bob, "", {})).total, 0u);
}

class EventSources : public AutomationCalls {};
INSTANTIATE_TEST_SUITE_P(On, EventSources, testing::ValuesIn(every_database()), by_name);

WebhookRow webhook_of(std::string id, std::string source, std::chrono::seconds created = 1s) {
  WebhookRow row;
  row.id = std::move(id);
  row.org_id = "acme";
  row.name = "builds";
  row.source = std::move(source);
  row.secret = Secret("secret");
  row.previous_secret = Secret("previous");
  row.previous_until = at(9s);
  row.event_id_header = "X-Id";
  row.signature_scheme = "standard_webhooks";
  row.created_at = row.updated_at = at(created);
  return row;
}

TEST_P(EventSources, AreAsTheyWereAdded) {
  gateway_.get(store_.add_webhook(webhook_of("w1", "ci")));
  EXPECT_TRUE(gateway_.get(store_.find_webhook("acme", "w1")) == webhook_of("w1", "ci"));
  EXPECT_TRUE(gateway_.get(store_.find_source("acme", "ci")) == webhook_of("w1", "ci"));
  EXPECT_FALSE(gateway_.get(store_.find_webhook("other", "w1")));
  EXPECT_FALSE(gateway_.get(store_.find_source("other", "ci")));
}

TEST_P(EventSources, AreAnOrganisationsOnce) {
  gateway_.get(store_.add_webhook(webhook_of("w1", "ci")));
  EXPECT_EQ(gateway_.fault(store_.add_webhook(webhook_of("w2", "ci"))), FaultKind::conflict);
  auto of_another = webhook_of("w3", "ci");
  of_another.org_id = "other";
  gateway_.get(store_.add_webhook(std::move(of_another)));
}

TEST_P(EventSources, AreReplacedListedAndRemoved) {
  gateway_.get(store_.add_webhook(webhook_of("w1", "ci", 1s)));
  gateway_.get(store_.add_webhook(webhook_of("w2", "cd", 2s)));
  auto changed = webhook_of("w1", "ci");
  changed.secret = Secret("fresh");
  changed.enabled = false;
  gateway_.get(store_.replace_webhook(std::move(changed)));
  auto const kept = gateway_.get(store_.find_webhook("acme", "w1"));
  EXPECT_TRUE(kept->secret.equals("fresh"));
  EXPECT_FALSE(kept->enabled);
  EXPECT_GT(kept->updated_at, at(1s));
  EXPECT_THAT(ids_of_rows(gateway_.get(store_.list_webhooks("acme", {})).rows), ElementsAre("w2", "w1"));
  gateway_.get(store_.remove_webhook("other", "w1"));
  gateway_.get(store_.remove_webhook("acme", "w2"));
  EXPECT_THAT(ids_of_rows(gateway_.get(store_.list_webhooks("acme", {})).rows), ElementsAre("w1"));
  EXPECT_EQ(gateway_.fault(store_.replace_webhook(webhook_of("w2", "cd"))), FaultKind::not_found);
}

TEST_P(EventSources, AreNotReplacedByWhatWasReadBeforeAnotherChange) {
  gateway_.get(store_.add_webhook(webhook_of("w1", "ci")));
  auto mine = std::move(*gateway_.get(store_.find_webhook("acme", "w1")));
  auto rotated = std::move(*gateway_.get(store_.find_webhook("acme", "w1")));
  rotated.secret = Secret("fresh");
  gateway_.get(store_.replace_webhook(std::move(rotated)));
  mine.name = "renamed";
  EXPECT_EQ(gateway_.fault(store_.replace_webhook(std::move(mine))), FaultKind::conflict);
  EXPECT_TRUE(gateway_.get(store_.find_webhook("acme", "w1"))->secret.equals("fresh"));
}

class Outbox : public AutomationCalls {
 protected:
  using Result = AutomationStore::DeliveryResult;

  static EndpointRow endpoint_of(std::string id, std::string automation_id = "") {
    EndpointRow row;
    row.id = std::move(id);
    row.tenant = alice;
    row.automation_id = std::move(automation_id);
    row.url = "https://example.org/" + row.id;
    row.secrets.emplace_back("newest");
    row.secrets.emplace_back("5:odd");
    row.created_at = at(1s);
    return row;
  }
  void put(EndpointRow endpoint) { gateway_.get(store_.put_endpoint(std::move(endpoint))); }
  EndpointRow endpoint(std::string id) { return std::move(*gateway_.get(store_.find_endpoint(std::move(id)))); }
  JudgedRun end(std::string id) {
    gateway_.enqueue(run_of(id));
    return gateway_.judge(id, ending(RunStatus::completed));
  }
  std::vector<AutomationStore::DueDelivery> due(std::chrono::milliseconds lease = 1h, std::size_t limit = 100) {
    return gateway_.get(store_.claim_deliveries("g", lease, limit));
  }
  static Result result_of(DeliveryRow const& delivery, std::string error = "") {
    Result result;
    result.delivery_id = delivery.id;
    result.fence = delivery.fence;
    result.endpoint_id = delivery.endpoint_id;
    result.attempt.at = at(50s);
    result.attempt.duration_ms = 7;
    result.attempt.status_code = error.empty() ? 200 : 500;
    result.attempt.error = std::move(error);
    result.state = result.attempt.error.empty() ? DeliveryState::delivered : DeliveryState::waiting;
    result.next_at = at(60s);
    return result;
  }
  std::uint64_t record(Result result) {
    std::vector<Result> results;
    results.push_back(std::move(result));
    return gateway_.get(store_.record_deliveries(std::move(results)));
  }
  DeliveryRow delivery(std::string run_id) { return std::move(gateway_.deliveries(std::move(run_id)).at(0)); }
};
INSTANTIATE_TEST_SUITE_P(On, Outbox, testing::ValuesIn(every_database()), by_name);

TEST_P(Outbox, HasEndpointsThatCanBeChanged) {
  auto wanted = endpoint_of("e1", "a1");
  wanted.failing_since = at(3s);
  wanted.disabled_reason = "why";
  wanted.enabled = false;
  put(endpoint_of("e1", "a1"));
  auto row = endpoint("e1");
  wanted.updated_at = row.updated_at;
  EXPECT_FALSE(row == wanted);
  put(std::move(wanted));
  row = endpoint("e1");
  EXPECT_FALSE(row.enabled);
  EXPECT_EQ(row.failing_since, at(3s));
  ASSERT_EQ(row.secrets.size(), 2u);
  EXPECT_TRUE(row.secrets[0].equals("newest"));
  EXPECT_TRUE(row.secrets[1].equals("5:odd"));
  put(endpoint_of("e2"));
  EXPECT_EQ(gateway_.get(store_.list_endpoints(alice, {1, 0})).total, 2u);
  gateway_.get(store_.remove_endpoint("e1"));
  EXPECT_FALSE(gateway_.get(store_.find_endpoint("e1")));
}

TEST_P(Outbox, KeepsNoChangeOfAnEndpointThatIsOlderThanAnother) {
  put(endpoint_of("e1"));
  auto mine = endpoint("e1"), rotated = endpoint("e1"), late = endpoint("e1");
  rotated.secrets.front() = Secret("fresh");
  put(std::move(rotated));
  mine.enabled = false;
  EXPECT_EQ(gateway_.fault(store_.put_endpoint(std::move(mine))), FaultKind::conflict);
  EXPECT_TRUE(endpoint("e1").enabled);
  EXPECT_TRUE(endpoint("e1").secrets.front().equals("fresh"));
  gateway_.get(store_.remove_endpoint("e1"));
  EXPECT_EQ(gateway_.fault(store_.put_endpoint(std::move(late))), FaultKind::conflict);
  EXPECT_FALSE(gateway_.get(store_.find_endpoint("e1"))) << "what was removed stays so";
}

TEST_P(Outbox, TellsEveryEndpointThatListens) {
  put(endpoint_of("all"));
  put(endpoint_of("its", "a1"));
  put(endpoint_of("anothers", "a2"));
  auto off = endpoint_of("off");
  off.enabled = false;
  put(std::move(off));
  auto foreign = endpoint_of("foreign");
  foreign.tenant = bob;
  put(std::move(foreign));
  EXPECT_TRUE(end("r1").told);
  std::vector<std::string> endpoints;
  for (auto const& row : gateway_.deliveries("r1")) {
    endpoints.push_back(row.endpoint_id);
    EXPECT_THAT(row.id, StartsWith("msg_"));
    EXPECT_EQ(row.payload, "for endpoints");
    EXPECT_EQ(row.state, DeliveryState::waiting);
  }
  EXPECT_THAT(endpoints, testing::UnorderedElementsAre("all", "its"));
}

TEST_P(Outbox, IsEmptyWhereNobodyListens) {
  EXPECT_FALSE(end("r1").told);
  EXPECT_FALSE(gateway_.get(store_.next_delivery_at()));
}

TEST_P(Outbox, TellsThePlainCallbackOfTheAutomation) {
  auto row = automation_of("a1");
  row.callback_json = Secret("callback");
  gateway_.create(std::move(row));
  EXPECT_TRUE(end("r1").told);
  auto const sent = delivery("r1");
  EXPECT_EQ(sent.endpoint_id, "");
  EXPECT_EQ(sent.payload, "plain");
  EXPECT_TRUE(sent.callback_json.equals("callback"));
}

TEST_P(Outbox, TellsThePlainCallbackOfARunOfItsOwn) {
  gateway_.enqueue(run_of("r1", ""));
  gateway_.judge("r1", [](RunRow const& run) {
    auto decision = ending(RunStatus::failed)(run);
    decision.callback_json = Secret("its own");
    return decision;
  });
  EXPECT_TRUE(delivery("r1").callback_json.equals("its own"));
}

TEST_P(Outbox, HoldsNothingOfADecisionThatFailed) {
  put(endpoint_of("e1"));
  gateway_.enqueue(run_of("r1"));
  auto const judge = [](RunRow const&) -> RunDecision { throw std::runtime_error("a bug"); };
  EXPECT_EQ(gateway_.fault(store_.judge("r1", std::nullopt, judge)), FaultKind::internal);
  EXPECT_TRUE(gateway_.deliveries("r1").empty());
  EXPECT_EQ(gateway_.run("r1").status, RunStatus::pending);
}

TEST_P(Outbox, GivesWhatIsDueToOneWorkerForALease) {
  put(endpoint_of("e1"));
  end("r1");
  end("r2");
  EXPECT_TRUE(gateway_.get(store_.next_delivery_at()));
  auto const first = due(1h, 1);
  ASSERT_EQ(first.size(), 1u);
  EXPECT_EQ(first[0].delivery.run_id, "r1") << "the oldest";
  EXPECT_EQ(first[0].delivery.fence, 1u);
  ASSERT_TRUE(first[0].endpoint);
  EXPECT_EQ(first[0].endpoint->url, "https://example.org/e1");
  auto const second = due(0ms);
  ASSERT_EQ(second.size(), 1u);
  EXPECT_EQ(second[0].delivery.run_id, "r2");
  gateway_.get(store_.remove_endpoint("e1"));
  auto const third = due();
  ASSERT_EQ(third.size(), 1u) << "whose lease is over is anybody's";
  EXPECT_EQ(third[0].delivery.fence, 2u);
  EXPECT_FALSE(third[0].endpoint);
}

TEST_P(Outbox, WaitsForNoLeaseOfAGatewayThatIsDead) {
  put(endpoint_of("e1"));
  end("r1");
  auto const first = due(1h);
  ASSERT_EQ(first.size(), 1u);
  EXPECT_EQ(gateway_.get(store_.free_deliveries("other")), 0u) << "its gateway lives";
  EXPECT_TRUE(due().empty());
  gateway_.get(gateway_.store().leave("g"));
  EXPECT_EQ(gateway_.get(store_.free_deliveries("g")), 0u) << "who asks lives";
  EXPECT_EQ(gateway_.get(store_.free_deliveries("other")), 1u);
  auto const again = due();
  ASSERT_EQ(again.size(), 1u);
  EXPECT_EQ(again[0].delivery.id, first[0].delivery.id);
  EXPECT_EQ(again[0].delivery.fence, 2u);
}

TEST_P(Outbox, HasAnAttemptWaitForItsPauseWhoeverMadeTheOneBefore) {
  put(endpoint_of("e1"));
  end("r1");
  auto result = result_of(due().at(0).delivery, "it answered 500");
  result.next_at = std::chrono::system_clock::now() + 1h;
  record(std::move(result));
  gateway_.get(gateway_.store().leave("g"));
  EXPECT_EQ(gateway_.get(store_.free_deliveries("other")), 0u);
  EXPECT_TRUE(due().empty());
}

TEST_P(Outbox, KeepsWhatCameOfEachAttempt) {
  put(endpoint_of("e1"));
  end("r1");
  auto claimed = std::move(due().at(0).delivery);
  record(result_of(claimed, "it answered 500"));
  auto waiting = delivery("r1");
  EXPECT_EQ(waiting.state, DeliveryState::waiting);
  EXPECT_EQ(waiting.attempts, 1u);
  EXPECT_EQ(waiting.next_at, at(60s));
  EXPECT_EQ(endpoint("e1").failing_since, at(50s));
  claimed = std::move(due().at(0).delivery);
  record(result_of(claimed));
  auto const done = delivery("r1");
  EXPECT_EQ(done.state, DeliveryState::delivered);
  EXPECT_EQ(done.attempts, 2u);
  EXPECT_TRUE(done.ended_at);
  EXPECT_FALSE(endpoint("e1").failing_since);
  EXPECT_FALSE(gateway_.get(store_.next_delivery_at()));
  auto const attempts = gateway_.get(store_.attempts(done.id));
  ASSERT_EQ(attempts.size(), 2u);
  EXPECT_EQ(attempts[0].number, 1u);
  EXPECT_EQ(attempts[0].error, "it answered 500");
  EXPECT_EQ(attempts[1].number, 2u);
  EXPECT_EQ(attempts[1].duration_ms, 7);
}

TEST_P(Outbox, NotesButDoesNotHeedWhoLostItsLease) {
  put(endpoint_of("e1"));
  end("r1");
  auto const slow = due(0ms);
  due();
  record(result_of(slow.at(0).delivery));
  EXPECT_EQ(delivery("r1").state, DeliveryState::waiting);
  EXPECT_EQ(gateway_.get(store_.attempts(slow.at(0).delivery.id)).size(), 1u);
}

TEST_P(Outbox, SwitchesAnEndpointOff) {
  put(endpoint_of("e1"));
  end("r1");
  auto const claimed = due();
  for (std::uint64_t const switched_off : {1U, 0U}) {
    auto result = result_of(claimed.at(0).delivery, "gone");
    result.state = DeliveryState::failed;
    result.disable_endpoint_reason = "it failed for days";
    EXPECT_EQ(record(std::move(result)), switched_off);
  }
  EXPECT_FALSE(endpoint("e1").enabled);
  EXPECT_EQ(endpoint("e1").disabled_reason, "it failed for days");
  EXPECT_FALSE(end("r2").told);
}

TEST_P(Outbox, SendsAgainByHand) {
  put(endpoint_of("e1"));
  end("r1");
  auto const id = delivery("r1").id;
  record(result_of(due().at(0).delivery));
  auto const again = gateway_.get(store_.resend("r1", id));
  EXPECT_EQ(again.state, DeliveryState::waiting);
  EXPECT_FALSE(again.ended_at);
  EXPECT_EQ(due().at(0).delivery.id, id);
  EXPECT_EQ(gateway_.fault(store_.resend("r2", id)), FaultKind::not_found);
}

class Documents : public AutomationCalls {
 protected:
  KvDocument document() { return gateway_.get(store_.kv("a1")); }
  void change(KvDecision::What what, std::string json = "") {
    gateway_.get(store_.change_kv("a1", [what, json](KvDocument const&) { return KvDecision{what, json}; }));
  }
};
INSTANTIATE_TEST_SUITE_P(On, Documents, testing::ValuesIn(every_database()), by_name);

TEST_P(Documents, AreWrittenKeptAndRemoved) {
  using What = KvDecision::What;
  EXPECT_FALSE(document().is_there);
  EXPECT_EQ(document().json, "{}");
  change(What::remove);
  change(What::write, R"({"a":1})");
  EXPECT_TRUE(document().is_there);
  EXPECT_EQ(document().json, R"({"a":1})");
  change(What::keep, "lost");
  EXPECT_EQ(document().json, R"({"a":1})");
  gateway_.get(store_.change_kv(
      "a1", [](KvDocument const& before) { return KvDecision{KvDecision::What::write, before.json + " and more"}; }));
  EXPECT_EQ(document().json, R"({"a":1} and more)");
  change(What::remove);
  EXPECT_FALSE(document().is_there);
}

TEST_P(Documents, StayWhereAChangeFails) {
  change(KvDecision::What::write, "kept");
  auto const judge = [](KvDocument const&) -> KvDecision { throw std::runtime_error("a bug"); };
  EXPECT_EQ(gateway_.fault(store_.change_kv("a1", judge)), FaultKind::internal);
  EXPECT_EQ(document().json, "kept");
}

TEST_P(Documents, OfTheServiceAreKeptByKey) {
  EXPECT_TRUE(gateway_.get(store_.metadata("key")).empty());
  gateway_.get(store_.put_metadata("key", Secret("value")));
  gateway_.get(store_.put_metadata("key", Secret("newer")));
  EXPECT_TRUE(gateway_.get(store_.metadata("key")).equals("newer"));
  gateway_.get(store_.put_metadata("key", Secret()));
  EXPECT_TRUE(gateway_.get(store_.metadata("key")).empty());
}

}  // namespace
}  // namespace nestgate::store
