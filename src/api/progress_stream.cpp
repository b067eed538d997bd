#include "progress_stream.hpp"

#include "shapes.hpp"

namespace nestgate::api {
namespace {

using conversation::RuntimeState;

constexpr std::chrono::seconds silence_max{15};
constexpr std::string_view still_here = ": still here\n\n";

bool is_settled(RuntimeState state) noexcept { return state != RuntimeState::starting && state != RuntimeState::stopping; }

class ProgressStream final : public proxy::ApiStream {
 public:
  ProgressStream(conversation::Manager& manager, ConversationId id) : manager_(manager), id_(std::move(id)) {}

  Task<std::string> next() override {
    if (is_over_) co_return std::string();
    if (!seen_) co_return tell(manager_.find(id_));
    auto changed = co_await manager_.wait_change(id_, *seen_, Deadline::in(silence_max));
    if (!changed) co_return tell(std::nullopt);
    if (changed->version == *seen_) co_return std::string(still_here);
    co_return tell(std::move(*changed));
  }

 private:
  std::string tell(std::optional<conversation::View> view) {
    is_over_ = !view || is_settled(view->state);
    if (!view) return {};
    seen_ = view->version;
    return progress_event(*view);
  }

  conversation::Manager& manager_;
  ConversationId id_;
  std::optional<std::uint64_t> seen_;
  bool is_over_ = false;
};

}  // namespace

std::shared_ptr<proxy::ApiStream> make_progress_stream(conversation::Manager& manager, ConversationId id) {
  return std::make_shared<ProgressStream>(manager, std::move(id));
}

}  // namespace nestgate::api
