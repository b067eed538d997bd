#include "nestlet/event_log.hpp"

#include "nestgate/codec/json_writer.hpp"

namespace nestgate::nestlet {

LogEntry const& EventLog::append(LogEntry entry) {
  bytes_ += entry.json->size();
  seqs_.emplace(entry.id, next_seq());
  entries_.push_back(std::move(entry));
  // The newest stays whatever its size: its publisher holds it.
  while (entries_.size() > 1 && (entries_.size() > events_max_ || bytes_ > bytes_max_)) drop_oldest();
  return entries_.back();
}

void EventLog::drop_oldest() {
  bytes_ -= entries_.front().json->size();
  seqs_.erase(entries_.front().id);
  entries_.pop_front();
  ++first_seq_;
}

LogEntry const* EventLog::find(std::string_view id) const {
  auto const at = seqs_.find(std::string(id));
  return at == seqs_.end() ? nullptr : &this->at(at->second);
}

std::size_t EventLog::clear() {
  auto const count = entries_.size();
  while (!entries_.empty()) drop_oldest();
  return count;
}

std::string page_json(LogPage const& page) {
  std::string out;
  codec::JsonWriter w(out);
  w.begin_object().key("items").begin_array();
  for (auto const* entry : page.items) w.raw(*entry->json);
  w.end_array().key("next_page_id");
  if (page.next_page_id.empty()) {
    w.null();
  } else {
    w.value(page.next_page_id);
  }
  w.end_object();
  return out;
}

}  // namespace nestgate::nestlet
