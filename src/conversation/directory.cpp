#include "nestgate/conversation/directory.hpp"

#include <openssl/rand.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "nestgate/base/invariant.hpp"
#include "nestgate/identity/digest.hpp"

namespace nestgate::conversation {
namespace {

// One of the equal ones.
template <class Set>
void erase_one(Set& set, typename Set::value_type const& value) {
  if (auto const at = set.find(value); at != set.end()) set.erase(at);
}

}  // namespace

std::string_view to_string(RuntimeState state) noexcept {
  switch (state) {
    case RuntimeState::starting: return "starting";
    case RuntimeState::running: return "running";
    case RuntimeState::paused: return "paused";
    case RuntimeState::stopping: return "stopping";
    case RuntimeState::stopped: return "stopped";
    case RuntimeState::error: return "error";
  }
  return "error";
}

Secret const* RuntimeRecord::accepted(std::string_view key) const noexcept {
  Secret const* found = nullptr;
  for (auto const& known : accepted_keys) found = known.equals(key) ? &known : found;
  return key.empty() ? nullptr : found;
}

Entry::Entry(RuntimeRecordPtr r, StandingPtr standing)
    : record_(std::move(r)), standing_(std::move(standing)), target_(new upstream::Target(record_->endpoint)) {
  for (auto const& port : record_->ports) ports_.emplace_back(port.number, new upstream::Target(port.endpoint));
}

upstream::TargetPtr Entry::port_target(std::uint16_t number) const noexcept {
  for (auto const& [port, target] : ports_) {
    if (port == number) return target;
  }
  return nullptr;
}

std::size_t Directory::Hash::operator()(std::string_view text) const noexcept { return std::hash<std::string_view>{}(text); }

// A hash that nobody outside can compute, so that neither chains nor their lengths can be steered or observed.
std::uint64_t Directory::keyed_hash(std::string_view key) noexcept {
  static auto const salt = [] {
    identity::Sha256 bytes;
    NESTGATE_INVARIANT(RAND_bytes(bytes.data(), bytes.size()) == 1, "the system's random source works");
    return bytes;
  }();
  constexpr std::size_t hashed_bytes_max = 256;  // no key that was derived is longer; others are told apart all the same
  auto const digest = identity::sha256({identity::as_text(salt), key.substr(0, hashed_bytes_max)});
  std::uint64_t out;
  std::memcpy(&out, digest.data(), sizeof out);
  return out;
}

void Directory::index(EntryPtr const& entry) {
  for (auto const& key : entry->record().accepted_keys) by_key_.emplace(keyed_hash(key.reveal()), entry);
  if (entry->record().is_up()) by_port_.emplace(entry->record().endpoint.port(), entry.get());
  for (auto const& port : entry->record().ports) by_port_.emplace(port.number, entry.get());
  for (auto const& alias : entry->aliases_) by_alias_.insert_or_assign(alias, entry);
}

void Directory::unindex(Entry& entry) {
  for (auto const& key : entry.record().accepted_keys) {
    auto [first, last] = by_key_.equal_range(keyed_hash(key.reveal()));
    auto const found = std::find_if(first, last, [&entry](auto const& item) { return item.second.get() == &entry; });
    if (found != last) by_key_.erase(found);
  }
  if (entry.record().is_up()) erase_one(by_port_, {entry.record().endpoint.port(), &entry});
  for (auto const& port : entry.record().ports) erase_one(by_port_, {port.number, &entry});
  for (auto const& alias : entry.aliases_) {
    auto const at = by_alias_.find(alias);
    if (at != by_alias_.end() && at->second.get() == &entry) by_alias_.erase(at);
  }
}

void Directory::publish(RuntimeRecordPtr record) {
  auto& slot = by_id_[record->id.canonical()];
  EntryPtr const old = slot;
  if (old && old->record().epoch > record->epoch) return;
  StandingPtr standing(old ? old->standing_ : new Standing);
  standing->record_ = record;
  ++standing->version_;
  EntryPtr const entry(new Entry(std::move(record), std::move(standing)));
  if (old) {
    unindex(*old);
    entry->aliases_ = old->aliases_;
    bool const same_server = old->record().epoch == entry->record().epoch &&
                             old->record().endpoint == entry->record().endpoint && old->record().is_up() &&
                             entry->record().is_up();
    if (same_server) {
      entry->target_ = old->target_;
    } else {
      old->target_->withdraw();
    }
    for (auto& [number, target] : old->ports_) {
      auto const kept = std::find_if(entry->ports_.begin(), entry->ports_.end(), [&](auto const& port) {
        return same_server && port.first == number && port.second->place() == target->place();
      });
      if (kept != entry->ports_.end()) {
        kept->second = target;
      } else {
        target->withdraw();
      }
    }
  }
  slot = entry;
  index(entry);
}

void Directory::expect(std::size_t more) {
  if (more <= by_id_.size()) return;  // the tables grow as quickly by themselves
  by_id_.reserve(by_id_.size() + more);
  by_key_.reserve(by_key_.size() + more);
}

bool Directory::withdraw(ConversationId const& id, Epoch epoch) {
  auto const at = by_id_.find(id.canonical());
  if (at == by_id_.end() || at->second->record().epoch > epoch) return false;
  EntryPtr const entry = at->second;
  unindex(*entry);
  entry->for_each_target([](upstream::Target& target) { target.withdraw(); });
  entry->standing_->record_ = nullptr;
  ++entry->standing_->version_;
  by_id_.erase(at);
  return true;
}

void Directory::add_alias(ConversationId const& alias, ConversationId const& runtime, std::size_t aliases_max) {
  auto const at = by_id_.find(runtime.canonical());
  if (at == by_id_.end() || by_id_.contains(alias.canonical())) return;
  EntryPtr const entry = at->second;
  auto const known = by_alias_.find(alias.canonical());
  // An id belongs to the server that handed it out first: another runtime cannot take it over.
  if (known != by_alias_.end() || entry->aliases_.size() >= aliases_max) return;
  entry->aliases_.push_back(alias.canonical());
  by_alias_.emplace(alias.canonical(), entry);
}

EntryPtr Directory::find(std::string_view canonical_id) const {
  if (auto const at = by_id_.find(canonical_id); at != by_id_.end()) return at->second;
  if (auto const at = by_alias_.find(canonical_id); at != by_alias_.end()) return at->second;
  return nullptr;
}

EntryPtr Directory::find_by_key(std::string_view session_key) const {
  if (session_key.empty()) return nullptr;
  auto [first, last] = by_key_.equal_range(keyed_hash(session_key));
  for (; first != last; ++first) {
    if (first->second->accepts(session_key)) return first->second;
  }
  return nullptr;
}

EntryPtr Directory::find_by_port(std::uint16_t port) const {
  auto const first = by_port_.lower_bound({port, nullptr});
  if (first == by_port_.end() || first->first != port) return nullptr;
  auto const next = std::next(first);
  bool const shared = next != by_port_.end() && next->first == port;
  return shared ? nullptr : first->second;
}

Task<> DirectoryPublisher::apply(std::vector<RuntimeRecordPtr> published,
                                 std::vector<std::pair<ConversationId, Epoch>> withdrawn) {
  for (auto& record : published) co_await publish(std::move(record));
  for (auto& [id, epoch] : withdrawn) co_await withdraw(std::move(id), epoch);
}

Task<std::vector<Activity>> DirectoryPublisher::activity() { co_return std::vector<Activity>(); }

}  // namespace nestgate::conversation
