#include "open_streams.hpp"

namespace nestgate::api {
namespace {

constexpr std::chrono::seconds age_max{1};

}  // namespace

Task<OpenStreams::Counts const*> OpenStreams::counts() {
  auto const now = Clock::now();
  if (asked_at_ != Clock::time_point{} && now - asked_at_ < age_max) co_return &counts_;
  asked_at_ = now;  // whoever asks meanwhile gets the older ones
  auto const used = co_await publisher_.activity();
  Counts fresh;
  for (auto const& activity : used) {
    if (activity.streams != 0) fresh.emplace(activity.id.canonical(), activity.streams);
  }
  counts_ = std::move(fresh);
  co_return &counts_;
}

}  // namespace nestgate::api
