#pragma once

#include <optional>
#include <string>
#include <vector>

#include "automation_body.hpp"

// Bodies of the presets (automation.md 1.6), and the files that they become. Pure.
namespace nestgate::api {

struct RepoBody {
  std::string url;
  std::optional<std::string> ref, provider;
};

struct PluginBody {
  std::string source;
  std::optional<std::string> ref, repo_path;
};

// One arm of an experiment.
struct VariantBody {
  std::string name;
  std::int64_t weight = 1;
  std::optional<std::string> model;
  std::vector<PluginBody> plugins;
};

struct PresetBody {
  std::string name, prompt;
  automation::Trigger trigger;
  std::optional<std::string> model;
  std::optional<std::int64_t> timeout;
  std::optional<bool> keep_alive;
  std::optional<std::vector<RepoBody>> repos;
  std::optional<TemplateBody> provenance;  // `template`
  bool enabled = true;
  // Of the plugin preset: plugins, or variants with their experiment.
  bool has_plugins = false;
  std::vector<PluginBody> plugins;
  std::vector<VariantBody> variants;
  std::string experiment_id;
  LaterMembers later;
  OurMembers ours;
};
PresetBody read_prompt_preset(Model in, BodyRules const& rules);
PresetBody read_plugin_preset(Model in, BodyRules const& rules);

// preset_metadata, without what URLs have of user and password.
std::string preset_metadata_json(PresetBody const& body);
// repos_config.json, plugins_config.json, experiment_config.json; "" where the body has none.
std::string repos_config_json(PresetBody const& body);
std::string plugins_config_json(PresetBody const& body);
std::string experiment_config_json(PresetBody const& body);

// `https://user:password@host/…` with a mask for user and password.
std::string without_user_information(std::string_view url);

// main.py, prompt.txt, setup.sh and what is configured, as tar.gz.
std::string preset_tarball(PresetBody const& body, std::chrono::sys_seconds modified);
// Of the upload that holds it: name and description.
std::string preset_upload_name(PresetBody const& body);
std::string preset_upload_description(PresetBody const& body);

}  // namespace nestgate::api
