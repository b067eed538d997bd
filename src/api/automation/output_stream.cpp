#include "nestgate/api/output_stream.hpp"

#include "automation_shapes.hpp"
#include "json_members.hpp"
#include "nestgate/net/task_group.hpp"

namespace nestgate::api {
namespace {

using automation::OutputPiece;
using upstream::Outcome;

constexpr std::string_view still_here = ": still here\n\n";

std::string event(std::string_view name, std::string_view json) {
  return std::string("event: ").append(name).append("\ndata: ").append(json).append("\n\n");
}

class OutputStream final : public proxy::ApiStream {
 public:
  OutputStream(store::AutomationStore& rows, std::string run_id, std::unique_ptr<automation::OutputFeed> feed,
               Clock::duration silence_max)
      : rows_(rows), run_id_(std::move(run_id)), feed_(std::move(feed)), silence_max_(silence_max) {}

  Task<std::string> next() override {
    if (is_over_) co_return std::string();
    auto const asked = co_await with_deadline(Deadline::in(silence_max_), ask());
    auto const said = std::exchange(said_, std::nullopt);
    bool const is_told = said && *said;
    if (!is_told && !asked && asked.error().kind == FaultKind::timed_out) co_return std::string(still_here);
    if (!is_told) {
      is_over_ = true;
      co_return std::string();
    }
    auto const& piece = **said;
    if (piece) co_return event(piece->is_error_stream ? "stderr" : "stdout", json_text(piece->text));
    is_over_ = true;
    auto run = co_await rows_.find_run(run_id_);
    if (!run || !*run) co_return std::string();
    co_return event("end", run_json(**run));
  }

 private:
  // What comes in the very turn in which the silence is over is no answer of with_deadline's.
  Task<Result<>> ask() {
    auto said = co_await feed_->next();
    said_.emplace(std::move(said));
    co_return Result<>{};
  }

  store::AutomationStore& rows_;
  std::string run_id_;
  std::unique_ptr<automation::OutputFeed> feed_;
  Clock::duration silence_max_;
  std::optional<Outcome<std::optional<OutputPiece>>> said_;
  bool is_over_ = false;
};

}  // namespace

std::shared_ptr<proxy::ApiStream> make_output_stream(store::AutomationStore& rows, std::string run_id,
                                                     std::unique_ptr<automation::OutputFeed> feed,
                                                     Clock::duration silence_max) {
  return std::make_shared<OutputStream>(rows, std::move(run_id), std::move(feed), silence_max);
}

}  // namespace nestgate::api
