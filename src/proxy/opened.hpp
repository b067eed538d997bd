#pragma once

#include <cstdint>
#include <string_view>

#include "decide.hpp"

namespace nestgate::proxy {

// What let a request or a stream in, to be asked again while it lasts: keys are withdrawn, conversations closed.
struct Opened {
  // How it stands with the runtime's newest record.
  enum class Look : std::uint8_t { unchanged, key_withdrawn, closed_for_room };

  Opened() = default;
  explicit Opened(Decision const& decision)
      : entry(decision.entry), principal(decision.principal), presented_key(decision.presented_key) {
    if (entry) version = entry->standing().version();
  }

  // Looks only where something was said since the last look.
  Look look() {
    if (withdrawn) return Look::key_withdrawn;
    if (!entry || entry->standing().version() == version) return Look::unchanged;
    version = entry->standing().version();
    auto const* const record = entry->standing().record();
    if (!record) return Look::unchanged;  // its target says that it ended
    withdrawn = !opens(*record);
    if (withdrawn) return Look::key_withdrawn;
    return record->closed_for_room() ? Look::closed_for_room : Look::unchanged;
  }
  bool closed_for_room() const noexcept {
    auto const* const record = entry ? entry->standing().record() : nullptr;
    return record && record->closed_for_room();
  }
  // The API keys are others from now on; both sets are there while this is called.
  void on_api_keys(identity::ApiKeys const* before, identity::ApiKeys const* now) {
    if (!principal) return;
    principal = before && now ? now->find_again(*before, *principal) : nullptr;
    if (!principal || (entry && !principal->may_use(entry->record().owner))) withdrawn = true;
  }

  conversation::EntryPtr entry;
  identity::Principal const* principal = nullptr;  // of the config's keys
  std::string_view presented_key;                  // of the entry's record; empty with an API key, or with none at all
  std::uint32_t version = 0;                       // of the entry's standing at the last look
  bool withdrawn = false;                          // the key that opened it

 private:
  bool opens(conversation::RuntimeRecord const& record) const {
    if (principal) return principal->may_use(record.owner);
    return presented_key.empty() || record.accepted(presented_key) != nullptr;
  }
};

// A stream counts as open for as long as this is there.
class StreamCount {
 public:
  explicit StreamCount(conversation::Standing& standing) : standing_(&standing) { ++standing.streams; }
  StreamCount(StreamCount const&) = delete;
  StreamCount& operator=(StreamCount const&) = delete;
  ~StreamCount() { --standing_->streams; }

 private:
  conversation::StandingPtr standing_;
};

}  // namespace nestgate::proxy
