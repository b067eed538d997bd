#include "event/pattern.hpp"

#include <re2/re2.h>

namespace nestgate::event {
namespace {

// Of one compiled pattern with what its search keeps. RE2 gives up on what would need more; a search goes on without the
// part that it remembers, still in linear time.
constexpr std::int64_t memory_max = 8 * 1024 * 1024;

}  // namespace

Pattern::Pattern(TranslatedPattern const& translated) : size_(translated.size) {
  re2::RE2::Options options;
  options.set_log_errors(false);
  options.set_max_mem(memory_max);
  auto compiled = std::make_unique<re2::RE2>(translated.text, options);
  if (compiled->ok()) compiled_ = std::move(compiled);
}

Pattern::Pattern(Pattern&&) noexcept = default;
Pattern& Pattern::operator=(Pattern&&) noexcept = default;
Pattern::~Pattern() = default;

bool Pattern::is_found_in(std::string_view text) const {
  return compiled_ && re2::RE2::PartialMatch(re2::StringPiece(text.data(), text.size()), *compiled_);
}

}  // namespace nestgate::event
