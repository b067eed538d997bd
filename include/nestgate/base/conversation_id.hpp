#pragma once

#include <array>
#include <compare>
#include <optional>
#include <string>
#include <string_view>

namespace nestgate {

// A conversation's id, 1 to 128 of `A-Za-z0-9._-` (not "." or ".."). Two texts name the same conversation when their
// canonical forms are equal: the forms of one UUID (dashed, 32 hex digits, upper case) have one canonical form,
// 32 lower-case hex digits; any other id is its own. The session key is derived from `text()`, the form the runtime was
// created with.
class ConversationId {
 public:
  static constexpr std::size_t length_max = 128;

  // The form as given, checked. Nothing for text that cannot be an id.
  static std::optional<ConversationId> parse(std::string_view text);
  // As in a URL path, where `{uuid}` and `urn:uuid:uuid` name a UUID too (agent_server_live.md 2, row 1.3).
  // Percent-encoded octets are decoded once.
  static std::optional<ConversationId> parse_in_path(std::string_view segment);

  // The canonical form of what parse_in_path would take, written to `out` without allocating; empty for what it refuses.
  static std::string_view canonicalize_in_path(std::string_view segment, std::array<char, length_max>& out);

  std::string const& text() const noexcept { return text_; }
  std::string const& canonical() const noexcept { return canonical_; }
  bool is_uuid() const noexcept { return is_uuid_; }
  // 8-4-4-4-12, lower case, for a UUID; text() for others.
  std::string dashed() const;

  friend bool operator==(ConversationId const& a, ConversationId const& b) noexcept { return a.canonical_ == b.canonical_; }
  friend auto operator<=>(ConversationId const& a, ConversationId const& b) noexcept {
    return a.canonical_ <=> b.canonical_;
  }

 private:
  ConversationId(std::string text, std::string canonical, bool is_uuid)
      : text_(std::move(text)), canonical_(std::move(canonical)), is_uuid_(is_uuid) {}
  std::string text_;
  std::string canonical_;
  bool is_uuid_;
};

}  // namespace nestgate
