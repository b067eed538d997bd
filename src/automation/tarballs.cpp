#include "tarballs.hpp"

namespace nestgate::automation {
namespace {

constexpr std::size_t read_at_once_max = 4;

}  // namespace

Tarballs::Tarballs(Executor control, store::AutomationStore& rows, std::uint64_t bytes_max)
    : rows_(rows), bytes_max_(bytes_max), held_(std::make_shared<Held>(control)) {}

Task<Outcome<Tarballs::Bytes>> Tarballs::bytes_of(std::string upload_id) {
  for (;;) {
    if (auto known = find(upload_id)) co_return std::move(known);
    if (may_read()) break;
    auto const woken = co_await until_woken(held_->changed);
    if (!woken) co_return upstream::fail(FaultKind::cancelled, "automation.tarballs", "the gateway is shutting down");
  }
  ++reading_;
  auto read = co_await rows_.upload_bytes(upload_id);
  --reading_;
  held_->changed.cancel();
  if (!read) co_return read.error();
  if (!*read) co_return Bytes();
  auto bytes = counted(std::move(**read));
  keep(std::move(upload_id), bytes);
  co_return in_use(std::move(bytes));
}

Tarballs::Bytes Tarballs::find(std::string_view id) {
  auto const found = by_id_.find(id);
  if (found == by_id_.end()) return nullptr;
  kept_.splice(kept_.begin(), kept_, found->second);
  return in_use(kept_.front().bytes);
}

bool Tarballs::may_read() {
  drop_unused_while([this] { return held_->bytes >= bytes_max_; });
  return reading_ < read_at_once_max && (held_->bytes < bytes_max_ || (held_->bytes == 0 && reading_ == 0));
}

void Tarballs::keep(std::string id, Bytes bytes) {
  if (bytes->size() > bytes_max_ || by_id_.contains(id)) return;
  kept_.push_front({id, std::move(bytes)});
  by_id_.emplace(std::move(id), kept_.begin());
  drop_unused_while([this] { return held_->bytes > bytes_max_; });
}

// What is on its way is known meanwhile: its bytes are there anyway.
template <class Holds>
void Tarballs::drop_unused_while(Holds holds) {
  for (auto at = kept_.end(); at != kept_.begin() && holds();) {
    --at;
    if (at->bytes.use_count() > 1) continue;
    by_id_.erase(at->id);
    at = kept_.erase(at);
  }
}

Tarballs::Bytes Tarballs::counted(std::string bytes) const {
  held_->bytes += bytes.size();
  auto release = [held = held_](std::string const* gone) {
    held->bytes -= gone->size();
    delete gone;
  };
  return Bytes(new std::string(std::move(bytes)), std::move(release));
}

// Whoever waits for room looks again when it is used no more, be it kept or gone.
Tarballs::Bytes Tarballs::in_use(Bytes bytes) const {
  auto const* const what = bytes.get();
  auto release = [held = held_, bytes = std::move(bytes)](std::string const*) mutable {
    bytes.reset();
    held->changed.cancel();
  };
  return Bytes(what, std::move(release));
}

}  // namespace nestgate::automation
