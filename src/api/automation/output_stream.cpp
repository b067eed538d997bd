#include "nestgate/api/output_stream.hpp"

#include "automation_shapes.hpp"
#include "json_members.hpp"
#include "nestgate/net/task_group.hpp"

namespace nestgate::api {
namespace {

using automation::OutputPiece;
using upstream::Outcome;

constexpr std::chrono::seconds silence_max{15};
constexpr std::string_view still_here = ": still here\n\n";

std::string event(std::string_view name, std::string_view json) {
  return std::string("event: ").append(name).append("\ndata: ").append(json).append("\n\n");
}

struct Asked {
  Outcome<std::optional<OutputPiece>> piece;
};

Task<Result<Asked>> ask(automation::OutputFeed& feed) {
  auto piece = co_await feed.next();
  Asked asked{std::move(piece)};
  co_return asked;
}

class OutputStream final : public proxy::ApiStream {
 public:
  OutputStream(automation::Service& service, std::string run_id, std::unique_ptr<automation::OutputFeed> feed)
      : service_(service), run_id_(std::move(run_id)), feed_(std::move(feed)) {}

  Task<std::string> next() override {
    if (is_over_) co_return std::string();
    auto asked = co_await with_deadline(Deadline::in(silence_max), ask(*feed_));
    if (!asked && asked.error().kind == FaultKind::timed_out) co_return std::string(still_here);
    if (!asked || !asked->piece) {
      is_over_ = true;
      co_return std::string();
    }
    auto const& piece = *asked->piece;
    if (piece) co_return event(piece->is_error_stream ? "stderr" : "stdout", json_text(piece->text));
    is_over_ = true;
    auto run = co_await service_.rows().find_run(run_id_);
    if (!run || !*run) co_return std::string();
    co_return event("end", run_json(**run));
  }

 private:
  automation::Service& service_;
  std::string run_id_;
  std::unique_ptr<automation::OutputFeed> feed_;
  bool is_over_ = false;
};

}  // namespace

std::shared_ptr<proxy::ApiStream> make_output_stream(automation::Service& service, std::string run_id,
                                                     std::unique_ptr<automation::OutputFeed> feed) {
  return std::make_shared<OutputStream>(service, std::move(run_id), std::move(feed));
}

}  // namespace nestgate::api
