#include "event/github.hpp"

#include <algorithm>

namespace nestgate::event {
namespace {

enum class Shape : std::uint8_t {
  text,
  integer,
  boolean,
  whole,  // an object as it came
  model,  // an object, of which only some fields are kept
  models,
};

// What a run gets of a payload. What is optional and absent is null, a list without items.
struct Field {
  std::string_view name;
  Shape shape;
  enum class Need : std::uint8_t { required, optional } need = Need::required;
  std::span<Field const> fields{};
  std::string_view default_text{};
};
constexpr auto optional = Field::Need::optional;
constexpr auto required = Field::Need::required;

constexpr Field user[] = {{"id", Shape::integer}, {"login", Shape::text}, {"type", Shape::text, optional}};
constexpr Field repository[] = {{"id", Shape::integer},
                                {"name", Shape::text},
                                {"full_name", Shape::text},
                                {"private", Shape::boolean},
                                {"default_branch", Shape::text, optional, {}, "main"}};
constexpr Field label[] = {{"name", Shape::text}, {"color", Shape::text, optional}};
constexpr Field branch[] = {{"ref", Shape::text}, {"sha", Shape::text}};
constexpr Field pull_request[] = {{"number", Shape::integer},
                                  {"title", Shape::text},
                                  {"state", Shape::text},
                                  {"draft", Shape::boolean, optional},
                                  {"merged", Shape::boolean, optional},
                                  {"base", Shape::model, required, branch},
                                  {"head", Shape::model, required, branch},
                                  {"labels", Shape::models, optional, label},
                                  {"user", Shape::model, required, user}};
constexpr Field issue[] = {{"number", Shape::integer},
                           {"title", Shape::text},
                           {"state", Shape::text},
                           {"labels", Shape::models, optional, label},
                           {"user", Shape::model, required, user}};
constexpr Field comment[] = {{"id", Shape::integer}, {"body", Shape::text}, {"user", Shape::model, required, user}};
constexpr Field commit[] = {{"id", Shape::text}, {"message", Shape::text}, {"author", Shape::whole, optional}};
constexpr Field release[] = {{"tag_name", Shape::text},
                             {"name", Shape::text, optional},
                             {"draft", Shape::boolean, optional},
                             {"prerelease", Shape::boolean, optional}};

constexpr Field in_repository{"repository", Shape::model, required, repository};
constexpr Field by_sender{"sender", Shape::model, required, user};

constexpr Field pull_request_event[] = {{"action", Shape::text},
                                        {"number", Shape::integer},
                                        {"pull_request", Shape::model, required, pull_request},
                                        in_repository,
                                        by_sender};
constexpr Field review_event[] = {{"action", Shape::text},
                                  {"review", Shape::whole},
                                  {"pull_request", Shape::model, required, pull_request},
                                  in_repository,
                                  by_sender};
constexpr Field issues_event[] = {
    {"action", Shape::text}, {"issue", Shape::model, required, issue}, in_repository, by_sender};
constexpr Field issue_comment_event[] = {{"action", Shape::text},
                                         {"issue", Shape::model, required, issue},
                                         {"comment", Shape::model, required, comment},
                                         in_repository,
                                         by_sender};
constexpr Field push_event[] = {{"ref", Shape::text},   {"before", Shape::text},
                                {"after", Shape::text}, {"commits", Shape::models, optional, commit},
                                in_repository,          by_sender};
constexpr Field release_event[] = {
    {"action", Shape::text}, {"release", Shape::model, required, release}, in_repository, by_sender};

constexpr std::string_view review_members[] = {"pull_request", "review"};
constexpr std::string_view pull_request_members[] = {"pull_request"};
constexpr std::string_view issue_comment_members[] = {"issue", "comment"};
constexpr std::string_view issues_members[] = {"issue"};
constexpr std::string_view push_members[] = {"ref", "commits"};
constexpr std::string_view release_members[] = {"release"};
constexpr std::string_view workflow_run_members[] = {"workflow_run"};
constexpr std::string_view check_run_members[] = {"check_run"};

constexpr DetectionRule rules[] = {{"pull_request_review", review_members},
                                   {"pull_request", pull_request_members},
                                   {"issue_comment", issue_comment_members},
                                   {"issues", issues_members},
                                   {"push", push_members},
                                   {"release", release_members},
                                   {"workflow_run", workflow_run_members},
                                   {"check_run", check_run_members}};

constexpr std::string_view types[] = {"pull_request", "pull_request_review", "issues", "issue_comment", "push", "release"};

// Nothing for a type that is told apart, but not taken in.
std::span<Field const> fields_of(std::string_view type) noexcept {
  if (type == "pull_request_review") return review_event;
  if (type == "pull_request") return pull_request_event;
  if (type == "issue_comment") return issue_comment_event;
  if (type == "issues") return issues_event;
  if (type == "push") return push_event;
  if (type == "release") return release_event;
  return {};
}

// Keeps the fields of a model. `fault_at` is the way to what is missing or of another kind.
class Trimmer {
 public:
  std::optional<std::vector<Member>> trim(Value const& object, std::span<Field const> fields) {
    std::vector<Member> members;
    for (auto const& field : fields) {
      auto value = kept(field, object.find(field.name));
      if (!value) {
        fault_at_.insert(0, fault_at_.empty() ? std::string(field.name) : std::string(field.name) + ".");
        return std::nullopt;
      }
      members.push_back({std::string(field.name), std::move(*value)});
    }
    return members;
  }
  std::string const& fault_at() const { return fault_at_; }

 private:
  static std::optional<Value> absent(Field const& field) {
    if (field.need == Field::Need::required) return std::nullopt;
    if (field.shape == Shape::models) return Value::array({});
    return field.default_text.empty() ? Value() : Value::string(std::string(field.default_text));
  }

  static std::optional<Value> if_kind(Value const& value, Value::Kind kind) {
    return value.kind() == kind ? std::optional(value) : std::nullopt;
  }

  std::optional<Value> kept(Field const& field, Value const* value) {
    if (!value || value->is_null()) return absent(field);
    switch (field.shape) {
      case Shape::text: return if_kind(*value, Value::Kind::string);
      case Shape::integer: return if_kind(*value, Value::Kind::integer);
      case Shape::boolean: return if_kind(*value, Value::Kind::boolean);
      case Shape::whole: return if_kind(*value, Value::Kind::object);
      case Shape::model: return model(*value, field.fields);
      case Shape::models: return models(*value, field.fields);
    }
    return std::nullopt;
  }

  std::optional<Value> model(Value const& value, std::span<Field const> fields) {
    if (!value.is_object()) return std::nullopt;
    auto members = trim(value, fields);
    return members ? std::optional(Value::object(std::move(*members))) : std::nullopt;
  }

  std::optional<Value> models(Value const& value, std::span<Field const> fields) {
    if (!value.is_array()) return std::nullopt;
    Value::Array items;
    for (auto const& item : value.as_array()) {
      auto kept_item = model(item, fields);
      if (!kept_item) return std::nullopt;
      items.push_back(std::move(*kept_item));
    }
    return Value::array(std::move(items));
  }

  std::string fault_at_;
};

bool fits(DetectionRule const& rule, Value const& raw) noexcept {
  return std::ranges::all_of(rule.members, [&raw](std::string_view name) { return raw.find(name) != nullptr; });
}

}  // namespace

Recognition recognise_github(Value const& raw) {
  auto const rule = std::ranges::find_if(rules, [&raw](DetectionRule const& each) { return fits(each, raw); });
  if (rule == std::end(rules)) return Unrecognised{"no rule fits the payload"};
  auto const fields = fields_of(rule->event_type);
  std::string key(rule->event_type);
  if (fields.empty()) return Unrecognised{"events of the type " + key + " are not taken in"};
  Trimmer trimmer;
  auto members = trimmer.trim(raw, fields);
  if (!members) return Unrecognised{key + ": " + trimmer.fault_at() + " is missing or of another kind"};
  if (fields.front().name == "action") key.append(".").append(raw.find("action")->as_string());
  if (key.size() > event_key_bytes_max) return Unrecognised{"the event's key is too long"};
  members->push_back({"event_key", Value::string(key)});
  return Event{std::move(key), Value::object(std::move(*members))};
}

std::span<DetectionRule const> github_rules() noexcept { return rules; }
std::span<std::string_view const> github_types() noexcept { return types; }

}  // namespace nestgate::event
