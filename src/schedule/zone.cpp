#include "nestgate/schedule/zone.hpp"

#include <algorithm>
#include <limits>
#include <optional>

#include "schedule/posix_zone.hpp"

namespace nestgate::schedule {
namespace {

using std::chrono::seconds;

constexpr std::string_view magic = "TZif";
constexpr std::size_t header_bytes = 44;
constexpr std::size_t type_bytes = 6;
constexpr std::size_t types_max = 256;
constexpr std::size_t abbreviations_bytes_max = 4096;
// RFC 8536 section 3.2.
constexpr seconds offset_min = -std::chrono::hours(25) + seconds(1);
constexpr seconds offset_max = std::chrono::hours(26) - seconds(1);
// Segments begin before the first moment, so that what the clocks showed before it is known.
constexpr Moment segments_begin = earliest_moment - std::chrono::days(7);

std::uint64_t big_endian(std::string_view bytes) {
  std::uint64_t value = 0;
  for (char const c : bytes) value = value << 8 | static_cast<unsigned char>(c);
  return value;
}

struct Header {
  char version = 0;
  std::size_t utc_flags, standard_flags, leaps, times, types, abbreviations;

  std::size_t body_bytes(std::size_t time_bytes) const {
    return times * (time_bytes + 1) + types * type_bytes + abbreviations + leaps * (time_bytes + 4) + standard_flags +
           utc_flags;
  }
};

std::optional<Header> read_header(std::string_view bytes) {
  if (bytes.size() < header_bytes || !bytes.starts_with(magic)) return std::nullopt;
  auto const count = [bytes](std::size_t index) {
    return static_cast<std::size_t>(big_endian(bytes.substr(20 + 4 * index, 4)));
  };
  Header const header{bytes[4], count(0), count(1), count(2), count(3), count(4), count(5)};
  bool const is_bounded = header.times <= tzif_transitions_max && header.types >= 1 && header.types <= types_max &&
                          header.abbreviations <= abbreviations_bytes_max && header.leaps <= tzif_transitions_max &&
                          header.standard_flags <= header.types && header.utc_flags <= header.types;
  return is_bounded ? std::optional(header) : std::nullopt;
}

// What one data block says.
struct Block {
  seconds first_offset;  // before the first transition
  std::vector<Transition> transitions;
};

std::optional<Block> read_block(Header const& header, std::string_view body, std::size_t time_bytes) {
  auto const type_indices = body.substr(header.times * time_bytes, header.times);
  auto const types = body.substr(header.times * (time_bytes + 1), header.types * type_bytes);
  std::vector<seconds> offsets;
  for (std::size_t type = 0; type < header.types; ++type) {
    seconds const offset{static_cast<std::int32_t>(big_endian(types.substr(type * type_bytes, 4)))};
    if (offset < offset_min || offset > offset_max) return std::nullopt;
    offsets.push_back(offset);
  }
  Block block{offsets.front(), {}};
  std::int64_t last = std::numeric_limits<std::int64_t>::min();
  for (std::size_t i = 0; i < header.times; ++i) {
    auto const raw = big_endian(body.substr(i * time_bytes, time_bytes));
    auto const time = time_bytes == 8 ? static_cast<std::int64_t>(raw) : static_cast<std::int32_t>(raw);
    auto const type = static_cast<unsigned char>(type_indices[i]);
    if (type >= offsets.size() || (i > 0 && time <= last)) return std::nullopt;
    block.transitions.push_back({Moment{seconds(time)}, offsets[type]});
    last = time;
  }
  return block;
}

// Between newlines; empty where it says nothing.
std::optional<std::string_view> read_footer(std::string_view rest) {
  if (!rest.starts_with('\n')) return std::nullopt;
  rest.remove_prefix(1);
  auto const end = rest.find('\n');
  if (end == rest.npos) return std::nullopt;
  return rest.substr(0, end);
}

// In order and as many as are needed: of transitions without a change of the offset nothing remains.
class SegmentList {
 public:
  explicit SegmentList(seconds offset) { segments_.push_back({segments_begin, latest_moment, offset, {}}); }

  void add(Transition const& transition) {
    auto& last = segments_.back();
    if (transition.at >= latest_moment || transition.offset == last.offset) return;
    if (transition.at <= last.begin) {  // only what holds at the beginning counts
      last.offset = transition.offset;
      return;
    }
    last.end = transition.at;
    segments_.push_back({transition.at, latest_moment, transition.offset, {}});
  }

  std::vector<Segment> finish() && {
    segments_.front().shown_until = segments_.front().local_begin();
    for (std::size_t i = 1; i < segments_.size(); ++i)
      segments_[i].shown_until = std::max(segments_[i - 1].shown_until, segments_[i - 1].local_end());
    return std::move(segments_);
  }

 private:
  std::vector<Segment> segments_;
};

std::optional<std::vector<Segment>> segments_of(Block const& block, std::string_view footer) {
  SegmentList list(block.first_offset);
  for (auto const& transition : block.transitions) list.add(transition);
  if (!footer.empty()) {
    auto const rule = PosixZone::parse(footer);
    if (!rule) return std::nullopt;
    auto const from = block.transitions.empty() ? segments_begin : std::max(segments_begin, block.transitions.back().at);
    if (from >= latest_moment) return std::move(list).finish();
    for (auto const& transition : rule->transitions(from, latest_moment)) list.add(transition);
  }
  return std::move(list).finish();
}

std::shared_ptr<Zone const> refuse(std::string_view& reason, std::string_view why) {
  reason = why;
  return nullptr;
}

}  // namespace

std::shared_ptr<Zone const> Zone::read(std::string name, std::string_view bytes, std::string_view& reason) {
  if (bytes.size() > tzif_bytes_max) return refuse(reason, "it is too large");
  auto header = read_header(bytes);
  if (!header) return refuse(reason, "it is no TZif file");
  std::size_t time_bytes = 4;
  bytes.remove_prefix(header_bytes);
  if (header->version != 0) {  // the first block is for readers of version 1
    if (bytes.size() < header->body_bytes(time_bytes)) return refuse(reason, "it is cut off");
    bytes.remove_prefix(header->body_bytes(time_bytes));
    header = read_header(bytes);
    if (!header) return refuse(reason, "its second header is wrong");
    bytes.remove_prefix(header_bytes);
    time_bytes = 8;
  }
  if (bytes.size() < header->body_bytes(time_bytes)) return refuse(reason, "it is cut off");
  if (header->leaps > 0) return refuse(reason, "it counts leap seconds");
  auto const block = read_block(*header, bytes, time_bytes);
  if (!block) return refuse(reason, "its transitions are wrong");
  std::string_view footer;
  if (time_bytes == 8) {
    auto const found = read_footer(bytes.substr(header->body_bytes(time_bytes)));
    if (!found) return refuse(reason, "its footer is wrong");
    footer = *found;
  }
  auto segments = segments_of(*block, footer);
  if (!segments) return refuse(reason, "its footer is wrong");
  return std::shared_ptr<Zone const>(new Zone(std::move(name), std::move(*segments)));
}

std::shared_ptr<Zone const> Zone::utc() {
  return std::shared_ptr<Zone const>(new Zone("UTC", SegmentList(seconds(0)).finish()));
}

std::size_t Zone::segment_at(Moment moment) const noexcept {
  auto const begins_later = [](Moment at, Segment const& segment) { return at < segment.begin; };
  auto const after = std::upper_bound(segments_.begin(), segments_.end(), moment, begins_later);
  return after == segments_.begin() ? 0 : static_cast<std::size_t>(after - segments_.begin()) - 1;
}

}  // namespace nestgate::schedule
