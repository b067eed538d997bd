#pragma once

#include <boost/system/result.hpp>
#include <string>
#include <utility>

namespace nestgate::api {

// Why a body does not fit: `field` is a dotted path ("secrets.TOKEN"), empty for the body as a whole; `message` says what
// is wrong and what is allowed; `type` is the code that the automation API's clients know (automation.md 1.0).
struct Invalid {
  // Said, so that it is no aggregate: one could be made of a single string, and a result could not tell it from a value.
  Invalid() = default;
  Invalid(std::string t, std::string f, std::string m) : type(std::move(t)), field(std::move(f)), message(std::move(m)) {}
  std::string type;
  std::string field;
  std::string message;
};

// In one sentence, with its field.
std::string message_of(Invalid const& invalid);

template <class T>
using Checked = boost::system::result<T, Invalid>;

// Found by boost::system::result: value() on an invalid body is our bug.
[[noreturn]] void throw_exception_from_error(Invalid const& invalid, boost::source_location const& at);

}  // namespace nestgate::api
