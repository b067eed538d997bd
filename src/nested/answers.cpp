#include "answers.hpp"

#include <string>

namespace nestgate::nested {

using upstream::Answer;
using upstream::Failure;

Failure unreadable(std::string_view step) {
  return upstream::fail(FaultKind::upstream, "nested.answer", std::string(step) + ": the server's answer has another shape");
}

Failure refused(std::string_view step, Answer const& answer, std::string_view excerpt) {
  auto failure = upstream::refused(step, answer.status);
  if (answer.status == 400 || answer.status == 413 || answer.status == 422) failure.fault.kind = FaultKind::bad_input;
  if (!excerpt.empty()) failure.reason.append(": ").append(excerpt);
  return failure;
}

bool lacks_route(Answer const& answer) noexcept { return answer.status == 404 || answer.status == 405; }

bool is_told_to_wait(Answer const& answer) noexcept {
  return (answer.status == 429 || answer.status == 503) && answer.retry_after.has_value();
}

}  // namespace nestgate::nested
