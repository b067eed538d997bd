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

  // An output at a time: what a command says faster than its reader takes it stays where it is.
  Task<Outcome<std::optional<OutputPiece>>> next() override {
    while (pieces_.empty()) {
      if (is_over_) co_return std::optional<OutputPiece>();
      NESTGATE_CO_TRY(run, co_await rows_.find_run(run_id_));
      if (!run) co_return upstream::fail(FaultKind::not_found, "automation.output", "Run not found");
      NESTGATE_CO_TRY(read, co_await read_more(*run));
      if (read == Read::more) continue;
      if (is_terminal(run->status)) {
        is_over_ = true;
        if (read == Read::unknown && !has_read_) keep(run->output_tail, run->error_tail);
      } else {
        auto waited = co_await pause_for(interval_);
        if (!waited) co_return upstream::failed("output", waited.error());
      }
    }
    auto piece = std::move(pieces_.front());
    pieces_.pop_front();
    co_return std::optional(std::move(piece));
  }

 private:
  enum class Read : std::uint8_t {
    unknown,  // its server says nothing
    all,      // there is nothing behind what was read before
    more,     // something came, or is on the next page
  };

  // Faults: cancelled.
  Task<Outcome<Read>> read_more(store::RunRow const& run) {
    if (run.attempt != attempt_) {
      order_ = -1;
      page_id_.clear();
    }
    attempt_ = run.attempt;
    auto const id = ConversationId::parse(run.sandbox_id);
    auto const view = id ? manager_.find(*id) : std::nullopt;
    if (run.bash_command_id.empty() || !view || view->state != conversation::RuntimeState::running) co_return Read::unknown;
    nested::Client client(view->endpoint, view->session_key.clone());
    auto page = co_await client.output_behind(run.bash_command_id, order_, page_id_, Deadline::in(call_max));
    if (!page && page.error().fault.kind == FaultKind::cancelled) co_return page.error();
    if (!page) co_return Read::unknown;
    has_read_ = has_read_ || !page->items.empty();
    auto const order_before = order_;
    for (auto& output : page->items) {
      order_ = std::max(order_, output.order);
      keep(std::move(output.standard_output), std::move(output.standard_error));
    }
    bool const is_last = page->next_page_id.empty() || page->next_page_id == page_id_;
    if (!is_last) page_id_ = std::move(page->next_page_id);
    co_return is_last&& order_ == order_before ? Read::all : Read::more;
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
  // What was read up to now. The server skips what is not behind `order_` only once it has made its page.
  std::int64_t order_ = -1;
  std::string page_id_;
  std::uint32_t attempt_ = 0;
  bool has_read_ = false, is_over_ = false;
};

}  // namespace

std::unique_ptr<OutputFeed> make_output_feed(store::AutomationStore& rows, conversation::Manager& manager,
                                             std::string run_id, std::chrono::milliseconds interval) {
  return std::make_unique<RunOutput>(rows, manager, std::move(run_id), interval);
}

}  // namespace nestgate::automation
