#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "nestgate/event/value.hpp"
#include "nestgate/store/automation_store.hpp"

// An automation's key-value document (automation.md 1.8): what each call answers, and what becomes of the document. Pure,
// so that the store may judge by it within a transaction, on any thread, more than once.
//
// It is kept as {"$version":N,"KEY":{"value":…,"version":N,"created_at":…,"updated_at":…},…}; versions count the document's
// writes, and a document without keys is none.
namespace nestgate::api {

inline constexpr std::size_t kv_key_length_max = 255;  // characters
inline constexpr std::size_t kv_path_segments_max = 32;
inline constexpr std::uint32_t kv_depth_max = 32;
inline constexpr std::size_t kv_operations_max = 100;

struct KvLimits {
  std::size_t document_bytes_max = 65'536;  // of its values by key, as Python's json.dumps writes them; 0: none
};

// How a call ended, over HTTP.
struct KvAnswer {
  unsigned status = 200;
  std::string body = {};
  bool may_be_tried_again = false;  // Retry-After: 1
  store::KvDecision decision = {};
};

struct KvOperation {
  enum class What : std::uint8_t { set, remove, increase, decrease, push_left, push_right, pop_left, pop_right, patch };
  What what = What::set;
  std::string key;
  event::Value value;                         // of set, push_left, push_right and patch
  std::int64_t by = 1;                        // of increase and decrease
  std::string path;                           // of patch
  bool only_new = false, only_known = false;  // of set; not both
};
// As a batch names them: "set", "incr", …
std::string_view to_string(KvOperation::What what) noexcept;
std::optional<KvOperation::What> parse_kv_operation(std::string_view word) noexcept;

// Why a text is no key, without the code before it; nothing: it is one.
std::optional<std::string> why_not_a_kv_key(std::string_view key);
// 400 with that reason.
KvAnswer no_kv_key(std::string_view why);

KvAnswer list_kv(store::KvDocument const& document, std::size_t limit, std::size_t offset);
// `path` "" : the whole value.
KvAnswer get_kv(store::KvDocument const& document, std::string_view key, std::string_view path, bool with_meta);
KvAnswer count_kv(store::KvDocument const& document, std::string_view key);

// A change of one key, and several in their order, all or none. `if_version`: only of the document that has it.
struct KvChange {
  std::optional<std::int64_t> if_version;
  std::chrono::system_clock::time_point now;
  KvLimits limits;
};
KvAnswer change_kv(store::KvDocument const& document, KvOperation const& operation, KvChange const& change);
KvAnswer change_kv_batch(store::KvDocument const& document, std::span<KvOperation const> operations, KvChange const& change);

}  // namespace nestgate::api
