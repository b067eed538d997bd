#include "report_body.hpp"

#include <algorithm>
#include <array>

#include "json_members.hpp"
#include "nestgate/automation/status_detail.hpp"
#include "nestgate/base/text.hpp"

namespace nestgate::api {
namespace {

namespace dom = simdjson::dom;
using automation::Report;
using automation::StatusDetail;

// All of this is kept in the store and shown in every list.
constexpr std::size_t error_bytes_max = 8 * 1024;
constexpr std::size_t word_bytes_max = 255;
constexpr std::size_t user_action_bytes_max = 1024;
constexpr std::size_t object_bytes_max = 8 * 1024;
constexpr std::size_t conversation_characters_max = 255;
constexpr std::size_t phase_characters_max = 200;

std::string text_in(dom::object object, std::string_view name, std::size_t bytes_max = no_max) {
  std::string_view text;
  return object[name].get_string().get(text) ? std::string() : std::string(cut_to(text, bytes_max));
}

// What a script says of its failure.
struct ScriptError {
  std::string code, detail, source, kind, user_action, error_id;
  bool is_typed = false;  // the SDK's event, and nothing but
  bool is_retryable = false;
};

constexpr std::array<std::string_view, 8> event_members = {"kind",      "id",   "timestamp", "source",
                                                           "parent_id", "code", "detail",    "classification"};
constexpr std::array<std::string_view, 4> event_sources = {"agent", "user", "environment", "hook"};

bool is_among(auto const& words, std::string_view word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

bool is_text_or_null(dom::object object, std::string_view name) {
  dom::element value;
  return object[name].get(value) || value.is_null() || value.is<std::string_view>();
}

bool is_conversation_error(dom::object error) {
  for (auto const [name, value] : error) {
    if (!is_among(event_members, name)) return false;
  }
  dom::element classification;
  bool const has_classification = !error["classification"].get(classification) && !classification.is_null();
  if (has_classification && !classification.is<dom::object>()) return false;
  std::string_view kind;
  if (!error["kind"].get_string().get(kind) && kind != "ConversationErrorEvent") return false;
  bool const has_texts = error["code"].is<std::string_view>() && error["detail"].is<std::string_view>();
  return has_texts && is_among(event_sources, text_in(error, "source")) && is_text_or_null(error, "id") &&
         is_text_or_null(error, "timestamp") && is_text_or_null(error, "parent_id");
}

// What the words of an unclassified error speak of. The first that fits; the SDK's own list is longer, and what it tells
// apart further clients do not.
struct Hint {
  std::string_view kind;
  std::array<std::string_view, 6> words;
};
constexpr std::array<Hint, 6> hints = {{
    {"rate_limit", {"ratelimit", "rate limit", "rate_limit", "too many requests", "429", "throttl"}},
    {"quota", {"quota", "budget", "insufficient", "billing", "credit", "402"}},
    {"auth", {"authentication", "unauthorized", "api key", "permission", "forbidden", "401"}},
    {"transient", {"timeout", "timed out", "connection", "unavailable", "overloaded", "503"}},
    {"config", {"config", "badrequest", "bad request", "notfound", "validation", "unsupported"}},
    {"agent_action", {"maxiteration", "max_iteration", "max iteration", "stuck", "tool", "action"}},
}};

std::string_view kind_by_words(std::string_view code, std::string_view detail) {
  std::string text = std::string(code).append(" ").append(detail);
  std::transform(text.begin(), text.end(), text.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? char(c + 32) : c; });
  for (auto const& hint : hints) {
    auto const is_there = [&](std::string_view word) { return text.find(word) != text.npos; };
    if (std::any_of(hint.words.begin(), hint.words.end(), is_there)) return hint.kind;
  }
  return "unknown";
}

void classify(ScriptError& out, dom::object error) {
  dom::object classification;
  if (!error["classification"].get_object().get(classification)) {
    out.kind = text_in(classification, "kind", word_bytes_max);
    out.user_action = text_in(classification, "user_action", user_action_bytes_max);
    out.error_id = text_in(classification, "error_id", word_bytes_max);
    bool is_retryable = false;
    if (!classification["retryable"].get_bool().get(is_retryable)) out.is_retryable = is_retryable;
  } else if (out.is_typed) {
    out.kind = kind_by_words(out.code, out.detail);
    out.is_retryable = out.kind == "rate_limit" || out.kind == "transient";
  }
}

ScriptError error_in(dom::object error) {
  ScriptError out;
  out.is_typed = is_conversation_error(error);
  out.code = text_in(error, "code", word_bytes_max);
  out.detail = text_in(error, "detail");
  if (out.detail.empty()) out.detail = text_in(error, "message");
  out.source = text_in(error, "source", word_bytes_max);
  classify(out, error);
  return out;
}

// `<code>: <detail> [kind=…, source=…]`
std::string formatted(ScriptError const& error) {
  std::string out = error.code;
  if (!error.code.empty() && !error.detail.empty()) out += ": ";
  out += error.detail;
  if (out.empty()) out = "Structured callback error";
  if (error.kind.empty() && error.source.empty()) return out;
  out += " [";
  if (!error.kind.empty()) out += "kind=" + error.kind;
  if (!error.kind.empty() && !error.source.empty()) out += ", ";
  if (!error.source.empty()) out += "source=" + error.source;
  return out + "]";
}

std::string status_detail(ScriptError const& error, std::string const& text, store::Time now) {
  StatusDetail detail;
  detail.phase = "callback";
  detail.kind = error.kind.empty() ? "execution_error" : error.kind;
  detail.detail = cut_to(error.detail.empty() ? text : error.detail, error_bytes_max);
  detail.transient = error.is_typed && error.is_retryable;
  detail.source = error.source.empty() ? "sdk_callback" : error.source;
  detail.code = error.code;
  detail.extras.emplace_back("formatted_detail", json_text(text));
  if (!error.user_action.empty()) detail.extras.emplace_back("user_action", json_text(error.user_action));
  if (!error.error_id.empty()) detail.extras.emplace_back("error_id", json_text(error.error_id));
  return automation::to_json(detail, {}, now);
}

// A text, an object, or null: a union, whose arms tell their own faults.
void read_error(Value const& value, Report& out, store::Time now) {
  if (value.is_null()) return;
  ScriptError error;
  dom::object object;
  if (auto const text = value.text()) {
    error.detail = *text;
    out.error_detail = cut_to(error.detail, error_bytes_max);
  } else if (!value.json()->get_object().get(object)) {
    error = error_in(object);
    out.error_detail = cut_to(formatted(error), error_bytes_max);
  } else {
    value.as("str").refuse("string_type", "Input should be a valid string");
    value.as("dict[str,any]").refuse("dict_type", "Input should be a valid dictionary");
    return;
  }
  if (!out.error_detail.empty()) out.status_detail_json = status_detail(error, out.error_detail, now);
}

// A part of an object would say something else: one that is too long is refused.
Rule<std::string> short_object() {
  return checked<std::string>(any_object(), [](std::string const& json) -> std::optional<std::string> {
    if (json.size() <= object_bytes_max) return std::nullopt;
    return "must have at most " + std::to_string(object_bytes_max) + " bytes as JSON";
  });
}

void read_later_members(Model& in, Report& out) {
  JsonMembers later("");
  for (auto const name : {"blocking_factor", "task_outcome"}) {
    std::optional<std::string> object;
    in.may(name, object, short_object());
    if (object) later.set(name, *object);
  }
  out.additions_json = later.json();
}

}  // namespace

Report read_report(Model in, store::Time now) {
  Report out;
  std::string status;
  std::optional<std::string> run_id, conversation_id;
  in.need("status", status, one_of({"COMPLETED", "FAILED"}));
  in.may("run_id", run_id, text());
  in.may("conversation_id", conversation_id, text(0, conversation_characters_max));
  if (auto const error = in.take("error")) read_error(*error, out, now);
  in.may("cost", out.cost, number());
  read_later_members(in, out);
  in.done();
  out.status = status == "FAILED" ? store::RunStatus::failed : store::RunStatus::completed;
  out.conversation_id = conversation_id.value_or("");
  if (out.status == store::RunStatus::completed) {
    out.error_detail.clear();
    out.status_detail_json.clear();
  }
  return out;
}

std::string read_phase(Model in) {
  std::string phase;
  auto const one_line = [](Value const& value, std::string& out) {
    std::string given;
    if (!text()(value, given)) return false;
    for (char const c : given) {
      bool const is_space = static_cast<unsigned char>(c) <= ' ' || c == 0x7f;
      if (!is_space) {
        out += c;
      } else if (!out.empty() && out.back() != ' ') {
        out += ' ';
      }
    }
    if (out.ends_with(' ')) out.pop_back();
    std::string ignored;
    return text(1, phase_characters_max)(Value(value.faults(), value.loc(), std::string_view(out)), ignored);
  };
  in.need("phase", phase, one_line);
  in.done();
  return phase;
}

}  // namespace nestgate::api
