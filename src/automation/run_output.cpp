#include "run_output.hpp"

#include <deque>

#include "nestgate/nested/client.hpp"

namespace nestgate::automation {
namespace {

constexpr Clock::duration call_max = std::chrono::seconds(30);

class RunOutput final : public OutputFeed {
 public:
  RunOutput(store::AutomationStore& rows, conversation::Manager& manager, std::string run_id,
            std::chrono::milliseconds interval)
      : rows_(rows), manager_(manager), run_id_(std::move(run_id)), interval_(interval) {}

  Task<Outcome<std::optional<OutputPiece>>> next() override {
    while (pieces_.empty()) {
      if (is_over_) co_return std::optional<OutputPiece>();
      NESTGATE_CO_TRY(run, co_await rows_.find_run(run_id_));
      if (!run) co_return upstream::fail(FaultKind::not_found, "automation.output", "Run not found");
      auto const read = co_await read_more(*run);
      if (is_terminal(run->status)) {
        is_over_ = true;
        if (!read && !has_read_) keep(run->output_tail, run->error_tail);
      } else if (pieces_.empty()) {
        auto waited = co_await pause_for(interval_);
        if (!waited) co_return upstream::failed("output", waited.error());
      }
    }
    auto piece = std::move(pieces_.front());
    pieces_.pop_front();
    co_return std::optional(std::move(piece));
  }

 private:
  // Whether its server was asked in full.
  Task<bool> read_more(store::RunRow const& run) {
    if (run.attempt != attempt_) order_ = -1;
    attempt_ = run.attempt;
    auto const id = ConversationId::parse(run.sandbox_id);
    auto const view = id ? manager_.find(*id) : std::nullopt;
    if (run.bash_command_id.empty() || !view || view->state != conversation::RuntimeState::running) co_return false;
    nested::Client client(view->endpoint, view->session_key.clone());
    for (;;) {
      auto outputs = co_await client.outputs_behind(run.bash_command_id, order_, Deadline::in(call_max));
      if (!outputs) co_return false;
      if (outputs->empty()) co_return true;
      for (auto& output : *outputs) {
        order_ = std::max(order_, output.order);
        keep(std::move(output.standard_output), std::move(output.standard_error));
      }
      has_read_ = true;
    }
  }

  void keep(std::string output, std::string error) {
    if (!output.empty()) pieces_.push_back({false, std::move(output)});
    if (!error.empty()) pieces_.push_back({true, std::move(error)});
  }

  store::AutomationStore& rows_;
  conversation::Manager& manager_;
  std::string run_id_;
  std::chrono::milliseconds interval_;
  std::deque<OutputPiece> pieces_;
  std::int64_t order_ = -1;
  std::uint32_t attempt_ = 0;
  bool has_read_ = false, is_over_ = false;
};

}  // namespace

std::unique_ptr<OutputFeed> make_output_feed(store::AutomationStore& rows, conversation::Manager& manager,
                                             std::string run_id, std::chrono::milliseconds interval) {
  return std::make_unique<RunOutput>(rows, manager, std::move(run_id), interval);
}

}  // namespace nestgate::automation
