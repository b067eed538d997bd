// Which conversations a run is let into.

#include "service_fixture.hpp"

namespace nestgate::automation {
namespace {

using store::RunRow;

class RunsOfUsers : public Automations {};

TEST_F(RunsOfUsers, AreNotLetIntoTheConversationOfSomebodyElse) {
  auto row = automation_row(into("conversation:c1"));
  row.owner = "bob";
  auto const ended = until_settled(dispatch(create(std::move(row))).id);
  EXPECT_EQ(ended.status, RunStatus::failed);
  EXPECT_EQ(ended.error_detail, "the run's runtime is not known");
  EXPECT_EQ(agent.count(upload_line), 0U);
}

TEST_F(RunsOfUsers, OfEverybodyGoWhereTheSettingsSay) {
  settings.target = *parse_target("conversation:c1");
  auto row = automation_row({});
  row.owner = "bob";
  until_dispatched(dispatch(create(std::move(row))).id);
  RunRequest request;
  request.by = caller_of({"bob", identity::Role::user, "bob"});
  request.conversation = id_of("c1");
  request.tarball = tarball_bytes;
  request.entrypoint = "python main.py";
  auto const own = control.run(service().submit(std::move(request)));
  ASSERT_TRUE(own) << own.error().reason;
  until_dispatched(own->id);
}

class RunsInAConversationOfNobody : public RunsOfUsers {
 protected:
  RunsInAConversationOfNobody() {
    conversation::StaticRuntime fixed{id_of("s1"), "http://127.0.0.1:" + std::to_string(agent.port()), std::nullopt, {}};
    EXPECT_TRUE(control.run(manager->put_static(std::move(fixed))));
  }
  store::AutomationRow row_of(std::string owner, Policy const& policy = into("conversation:s1")) {
    auto row = automation_row(policy);
    row.owner = std::move(owner);
    return row;
  }
  void expect_refused(RunRow const& run) {
    auto const ended = until_settled(run.id);
    EXPECT_EQ(ended.status, RunStatus::failed);
    EXPECT_EQ(ended.error_detail, "the run's runtime is not known");
    EXPECT_EQ(agent.starts(run.id), 0U);
  }
};

TEST_F(RunsInAConversationOfNobody, AreNotThoseOfJustAnybody) { expect_refused(dispatch(create(row_of("bob")))); }

TEST_F(RunsInAConversationOfNobody, AreThoseOfAdmins) {
  until_dispatched(dispatch(create(row_of(""))).id);
  auto row = row_of("bob");
  row.target_by_admin = true;
  until_dispatched(dispatch(create(std::move(row))).id);
}

TEST_F(RunsInAConversationOfNobody, AreEverybodysWhereTheSettingsNameIt) {
  settings.target = *parse_target("conversation:s1");
  until_dispatched(dispatch(create(row_of("bob", {}))).id);
  until_dispatched(dispatch(create(row_of("bob"))).id);
}

TEST_F(RunsOfUsers, OfAnAdminGoIntoTheConversationOfAnyUser) {
  conversation::StartRequest request;
  request.id = id_of("c2");
  request.by = alice;
  request.about.label = "ci";
  ASSERT_TRUE(control.run(manager->start(std::move(request))));
  for (auto const* const target : {"conversation:c1", "label:ci"}) {
    auto row = automation_row(into(target));
    row.owner = "bob";
    row.target_by_admin = true;
    until_dispatched(dispatch(create(std::move(row))).id);
  }
}

TEST_F(RunsOfUsers, AreNotLetInByATargetThatAnAdminSetAfterThem) {
  settings.runs_in_flight_max = 1;
  auto const before = dispatch();
  until_dispatched(before.id);
  auto row = automation_row(into("conversation:c1"));
  row.owner = "bob";
  auto const automation = create(std::move(row));
  auto const waiting = dispatch(automation);
  auto changed = find_automation(automation.id);
  changed.policy_json = to_json(into("label:elsewhere"));
  changed.target_by_admin = true;
  ASSERT_TRUE(control.run(service().replace(std::move(changed))));
  agent.end(before.id, 0);
  EXPECT_EQ(until_settled(waiting.id).error_detail, "the run's runtime is not known");
}

}  // namespace
}  // namespace nestgate::automation
