#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "kv_document.hpp"

// What a key-value document holds, and what an operation makes of it. Pure.
namespace nestgate::api {

// Why an operation cannot be done; HTTP and batches have their own words for each.
struct KvFault {
  enum class Kind : std::uint8_t {
    exists,
    missing,    // set with only_known
    not_found,  // patch
    boolean,    // of numbers
    real,
    not_integer,
    beyond_64_bits,
    not_list,
    not_object,
    path,
    too_deep,
  };
  Kind kind;
  std::string text;  // of `path` alone
};

template <class T>
using KvDone = boost::system::result<T, KvFault>;
[[noreturn]] void throw_exception_from_error(KvFault const& fault, boost::source_location const& at);

// What an operation gave: `value` of numbers and pops, `length` of pushes, `was_there` of set and remove.
struct KvOutcome {
  event::Value value = {};
  std::size_t length = 0;
  bool was_there = false;
  bool changes = true;
};

class KvState {
 public:
  struct Entry {
    std::string key;
    event::Value value;
    std::uint64_t version = 0;
    std::string created_at, updated_at;
  };

  // Nothing: it is none of ours.
  static std::optional<KvState> parse(store::KvDocument const& document);

  std::uint64_t version() const noexcept { return version_; }
  std::vector<Entry> const& entries() const noexcept { return entries_; }
  Entry const* find(std::string_view key) const noexcept;

  // `makes_parents`: a patch of an unknown key makes it an object.
  KvDone<KvOutcome> apply(KvOperation const& operation, bool makes_parents, std::string const& now);
  // As Python's json.dumps writes the values by key and the version.
  std::size_t python_size() const;
  // Counts the version up: what was applied is a write.
  std::string written();

 private:
  Entry* entry(std::string_view key) noexcept;
  void put(std::string_view key, event::Value value, std::string const& now);
  KvDone<KvOutcome> set(KvOperation const& operation, std::string const& now);
  KvDone<KvOutcome> remove(KvOperation const& operation);
  KvDone<KvOutcome> add(KvOperation const& operation, std::string const& now);
  KvDone<KvOutcome> push(KvOperation const& operation, std::string const& now);
  KvDone<KvOutcome> pop(KvOperation const& operation, std::string const& now);
  KvDone<KvOutcome> patch(KvOperation const& operation, bool makes_parents, std::string const& now);

  std::uint64_t version_ = 0;
  std::vector<Entry> entries_;
};

// Segments of `a.b["c.d"][0]`.
KvDone<std::vector<std::string>> parse_kv_path(std::string_view path);
// Nothing: there is no such place.
std::optional<event::Value> value_at(event::Value const& value, std::vector<std::string> const& path);

}  // namespace nestgate::api
