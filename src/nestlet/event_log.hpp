#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "nestlet/outbox.hpp"
#include "nestlet/text.hpp"

namespace nestgate::nestlet {

struct LogEntry {
  std::string id;
  Moment at;
  std::string kind;        // "BashOutput", "MessageEvent"
  std::string source;      // a conversation event's; "" in bash events
  std::string command_id;  // a bash output's
  std::int64_t order = 0;  // a bash output's
  Frame json;
};

struct LogPage {
  std::vector<LogEntry const*> items;
  std::string next_page_id;  // "": this was the last
};

enum class Order : std::uint8_t { ascending, descending };

// Events in the order in which they came. Bounded: the oldest go first. Pointers into it hold until the next append.
class EventLog {
 public:
  EventLog(std::uint64_t events_max, std::uint64_t bytes_max) : events_max_(events_max), bytes_max_(bytes_max) {}

  LogEntry const& append(LogEntry entry);
  LogEntry const* find(std::string_view id) const;
  std::size_t size() const noexcept { return entries_.size(); }
  // Sequence number of the first entry kept; grows as old ones go.
  std::uint64_t first_seq() const noexcept { return first_seq_; }
  std::uint64_t next_seq() const noexcept { return first_seq_ + entries_.size(); }
  LogEntry const& at(std::uint64_t seq) const { return entries_[static_cast<std::size_t>(seq - first_seq_)]; }
  std::size_t clear();

  // The first `limit` entries that `wanted` takes, from the entry named by `page_id` on (inclusive; "": from the start).
  // An unknown page id gives an empty page.
  template <class Wanted>
  LogPage page(Wanted const& wanted, Order order, std::string_view page_id, std::size_t limit) const {
    LogPage page;
    std::uint64_t step = 0;
    if (!page_id.empty()) {
      auto const at = seqs_.find(std::string(page_id));
      if (at == seqs_.end()) return page;
      step = order == Order::ascending ? at->second - first_seq_ : next_seq() - 1 - at->second;
    }
    for (; step < entries_.size(); ++step) {
      auto const index = order == Order::ascending ? step : entries_.size() - 1 - step;
      auto const& entry = entries_[static_cast<std::size_t>(index)];
      if (!wanted(entry)) continue;
      if (page.items.size() == limit) {
        page.next_page_id = entry.id;
        break;
      }
      page.items.push_back(&entry);
    }
    return page;
  }
  template <class Wanted>
  std::size_t count(Wanted const& wanted) const {
    return static_cast<std::size_t>(std::count_if(entries_.begin(), entries_.end(), wanted));
  }
  std::deque<LogEntry> const& entries() const noexcept { return entries_; }

 private:
  void drop_oldest();

  std::uint64_t events_max_;
  std::uint64_t bytes_max_;
  std::uint64_t bytes_ = 0;
  std::uint64_t first_seq_ = 0;
  std::deque<LogEntry> entries_;
  std::unordered_map<std::string, std::uint64_t> seqs_;
};

// {"items":[...],"next_page_id":...}
std::string page_json(LogPage const& page);

}  // namespace nestgate::nestlet
