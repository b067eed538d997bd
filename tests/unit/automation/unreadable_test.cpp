// Runs whose secrets no secret of the settings opens any more.

#include "automation/own_run.hpp"
#include "service_fixture.hpp"
#include "support/store_file.hpp"

namespace nestgate::automation {
namespace {

using store::RunRow;

class UnreadableRuns : private test::StoreFile, public Automations {
 protected:
  UnreadableRuns() : Automations(StoreFile::url()) {}
  std::string enqueue_own() {
    RunRow run;
    run.id = new_uuid();
    run.tenant = caller.tenant;
    run.owner = caller.owner;
    run.target = "conversation:c1";
    run.attempts_max = 2;
    OwnRun own;
    own.entrypoint = "python main.py";
    own.upload_id = add_upload();
    run.wish_json = to_json(own);
    auto id = run.id;
    std::vector<RunRow> runs;
    runs.push_back(std::move(run));
    EXPECT_TRUE(control.run(rows.enqueue(std::move(runs), 0)));
    return id;
  }
  // As if it were sealed with a secret that is not there any more.
  void spoil(std::string const& id) { execute("UPDATE automation_run_input SET wish = x'00' WHERE run_id = '" + id + "'"); }
};

TEST_F(UnreadableRuns, FailForGoodWhileTheOthersRun) {
  auto const unreadable = enqueue_own();
  auto const readable = enqueue_own();
  spoil(unreadable);
  service();
  auto const failed = until_settled(unreadable);
  EXPECT_EQ(failed.status, store::RunStatus::failed);
  EXPECT_EQ(failed.attempt, 1U);
  EXPECT_EQ(failed.error_detail, "the run's secret cannot be opened");
  until_dispatched(readable);
}

}  // namespace
}  // namespace nestgate::automation
