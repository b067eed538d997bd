#pragma once

#include "model.hpp"
#include "nestgate/automation/trigger.hpp"
#include "nestgate/base/secret.hpp"
#include "nestgate/store/automation_rows.hpp"
#include "trigger_body.hpp"

// Bodies of the routes that make and change automations (automation.md 1.2, 1.3), and how they become rows. Pure.
namespace nestgate::api {

struct TemplateBody {
  std::string id;
  std::string version;
  std::optional<std::string> config_json;
  // {"id","version","config"?}
  std::string json() const;
};

// Members of later releases (automation_live.md 4), kept and returned.
struct LaterMembers {
  Change<std::string> agent_profile_id, description, observability_associations_json;
  std::optional<std::string> state;  // "ACTIVE", "INACTIVE": `enabled` by another name
};

struct RetryBody {
  std::int64_t max_attempts = 1;
  std::int64_t pause_seconds = 10;
};

// Members of ours.
struct OurMembers {
  Change<automation::Target> target;
  Change<std::int64_t> priority, max_concurrent_runs;
  Change<RetryBody> retry;
  Change<std::string> callback_url;
  Change<Secret> callback_bearer;
};

// Each reads its members of `in`.
void read_later_members(Model& in, LaterMembers& out);
void read_our_members(Model& in, OurMembers& out, BodyRules const& rules);
// Into the row's columns.
void apply(LaterMembers later, store::AutomationRow& row);
// Why they cannot be, or nothing.
std::optional<std::string> apply(OurMembers ours, store::AutomationRow& row);

// Rules of single members, which presets have, too.
Rule<std::string> model_name();
Rule<std::int64_t> timeout(BodyRules const& rules);
Rule<std::string> command(std::string field);
Rule<TemplateBody> template_provenance();
// Where something is posted to.
Rule<std::string> web_url(std::string field, automation::PrivateCallbacks private_ones);
inline constexpr std::size_t name_characters_max = 500;
inline constexpr std::size_t prompt_characters_max = 50'000;

struct CreateBody {
  std::string name;
  std::optional<std::string> model;
  automation::Trigger trigger;
  std::string tarball_path;
  std::optional<std::string> setup_script_path;
  std::string entrypoint;
  std::optional<std::int64_t> timeout;
  std::optional<bool> keep_alive;
  std::optional<TemplateBody> provenance;  // `template`
  bool enabled = true;
  LaterMembers later;
  OurMembers ours;
};
CreateBody read_create(Model in, BodyRules const& rules);

struct ChangeBody {
  std::optional<std::string> name;
  Change<std::string> model, prompt;
  std::optional<automation::Trigger> trigger;
  std::optional<std::string> tarball_path;
  Change<std::string> setup_script_path;
  std::optional<std::string> entrypoint;
  Change<std::int64_t> timeout;
  Change<bool> keep_alive;
  std::optional<bool> enabled;
  bool changes_sources = false;  // `plugin` or `repos`
  LaterMembers later;
  OurMembers ours;
};
ChangeBody read_change(Model in, BodyRules const& rules);

// The trigger's columns.
void set_trigger(store::AutomationRow& row, automation::Trigger const& trigger);
// All of a change but the tarball and the prompt's new one. Why it cannot be done, or nothing.
std::optional<std::string> apply(ChangeBody body, store::AutomationRow& row);

// What a tarball_path points at.
struct TarballPath {
  enum class Kind : std::uint8_t { internal, external, bad_internal, bad } kind = Kind::bad;
  std::string upload_id;  // of an internal one
};
TarballPath parse_tarball_path(std::string_view text);
std::string tarball_path_of(std::string_view upload_id);

}  // namespace nestgate::api
