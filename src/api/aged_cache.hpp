#pragma once

#include <algorithm>
#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "nestgate/net/net.hpp"
#include "nestgate/upstream/failure.hpp"
#include "turns.hpp"

namespace nestgate::api {

// Values that are loaded by those who ask and kept for a short time; whoever asks while one is loaded waits for that. On one
// core.
template <class Value, class Version = std::uint64_t>
class AgedCache {
 public:
  using Found = std::shared_ptr<Value const>;
  AgedCache(Clock::duration age_max, std::size_t entries_max) : age_max_(age_max), entries_max_(entries_max) {}

  // What was loaded for `key` and the same `version` within the age, else what `load` gives; it is run only then.
  Task<upstream::Outcome<Found>> get(std::string key, Version version, Task<upstream::Outcome<Value>> load) {
    auto const turn = co_await turns_.take(key);
    auto const known = entries_.find(key);
    auto const now = Clock::now();
    if (known != entries_.end() && known->second.version == version && now - known->second.loaded_at < age_max_)
      co_return known->second.value;
    auto const drops_before = drops_;
    auto loaded = co_await std::move(load);
    if (!loaded) co_return loaded.error();
    Found value = std::make_shared<Value const>(std::move(*loaded));
    bool const is_of_now = drops_ == drops_before;
    if (is_of_now && age_max_ > Clock::duration::zero()) keep(std::move(key), Entry{value, version, now});
    co_return value;
  }

  // The next who ask get it anew.
  void drop(std::string const& key) {
    ++drops_;
    entries_.erase(key);
  }
  std::size_t size() const noexcept { return entries_.size(); }

 private:
  struct Entry {
    Found value;
    Version version;
    Clock::time_point loaded_at;
  };

  void keep(std::string key, Entry entry) {
    auto const oldest = [](auto const& a, auto const& b) { return a.second.loaded_at < b.second.loaded_at; };
    bool const is_full = entries_.size() >= entries_max_ && !entries_.contains(key);
    if (is_full) entries_.erase(std::min_element(entries_.begin(), entries_.end(), oldest));
    entries_.insert_or_assign(std::move(key), std::move(entry));
  }

  Clock::duration age_max_;
  std::size_t entries_max_;
  std::uint64_t drops_ = 0;  // of any key: what was read before one is not kept
  std::map<std::string, Entry> entries_;
  Turns turns_;
};

}  // namespace nestgate::api
