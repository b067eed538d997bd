// The first line as an expression, the rest as the document that it is asked of; both as what a webhook may bring.
#include <cstdint>
#include <string>
#include <string_view>

#include "nestgate/base/invariant.hpp"
#include "nestgate/event/expression.hpp"
#include "nestgate/event/source.hpp"

namespace {

using namespace nestgate;
using namespace nestgate::event;

constexpr Budget budget{.steps_max = 100'000, .values_max = 20'000};

std::string text_of(Value const& value, JsonForm form) {
  std::string out;
  NESTGATE_INVARIANT(append_json(out, value, form, SIZE_MAX), "a document is a tree, and no limit was given");
  return out;
}

void check_document(Value const& value) {
  for (auto const form : {JsonForm::compact, JsonForm::python_compact, JsonForm::python}) {
    auto const again = Value::parse(text_of(value, form));
    NESTGATE_INVARIANT(again.has_value(), "what is written is read back");
    NESTGATE_INVARIANT(text_of(*again, form) == text_of(value, form), "and is the same");
    NESTGATE_INVARIANT(again->depth() == value.depth(), "as deep as it was");
  }
}

void check_sources(Value const& value) {
  for (auto const name : builtin_source_names()) {
    auto const recognition = recognise(*parse_builtin_source(name), value);
    if (auto const* event = std::get_if<Event>(&recognition))
      NESTGATE_INVARIANT(event->payload.find("event_key")->as_string() == event->key, "the key is stored");
  }
}

void check_expression(Expression const& expression, Value const& value) {
  auto const found = expression.evaluate(value, budget);
  auto const again = expression.evaluate(value, budget);
  NESTGATE_INVARIANT(found.has_value() == again.has_value(), "an evaluation has no memory");
  if (!found) {
    NESTGATE_INVARIANT(found.error().text == again.error().text, "nor has its fault");
    return;
  }
  auto const said = expression.matches(value, budget);
  NESTGATE_INVARIANT(said && *said == found->is_truthy(), "what matches is what is true");
  std::string out;
  static_cast<void>(append_json(out, *found, JsonForm::python_compact, 10'000));
  static_cast<void>(recognise_custom("mine", expression, value, budget));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  std::string_view const text(reinterpret_cast<char const*>(data), size);
  auto const end = text.find('\n');
  auto const expression = Expression::parse(text.substr(0, end));
  auto const document = Value::parse(end == std::string_view::npos ? "null" : text.substr(end + 1));
  if (document) {
    check_document(*document);
    check_sources(*document);
  }
  if (expression) check_expression(*expression, document ? *document : Value());
  return 0;
}
