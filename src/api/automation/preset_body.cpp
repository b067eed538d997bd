#include "preset_body.hpp"

#include <algorithm>
#include <set>

#include "json_members.hpp"
#include "nestgate/base/text.hpp"
#include "nestgate/codec/json_writer.hpp"
#include "preset_files.hpp"
#include "tarball.hpp"

namespace nestgate::api {
namespace {

using codec::JsonWriter;

constexpr std::size_t plugins_max = 100;
constexpr std::size_t repos_max = 100;
constexpr std::size_t place_length_max = 2'000;  // of a URL, a ref, a path

bool has_controls(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) <= ' ' || c == 0x7f; });
}

bool is_short_form(std::string_view url) {
  auto const slash = url.find('/');
  auto const is_name = [](std::string_view part) {
    return !part.empty() && part.front() != '-' && std::all_of(part.begin(), part.end(), [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
    });
  };
  return slash != url.npos && is_name(url.substr(0, slash)) && is_name(url.substr(slash + 1));
}

// Git reads what begins with a hyphen as an option.
std::optional<std::string> good_place(std::string& text) {
  if (!text.starts_with('-') && !has_controls(text)) return std::nullopt;
  return "must not begin with a hyphen, nor have blanks or control characters";
}

Rule<std::string> place() { return checked<std::string>(text(1, place_length_max), good_place); }

std::optional<std::string> why_no_repo(RepoBody& repo) {
  constexpr std::string_view plain = "http://";
  if (repo.url.starts_with(plain)) repo.url = "https://" + repo.url.substr(plain.size());
  for (std::string_view const prefix : {"https://", "git@", "file://"})
    if (repo.url.starts_with(prefix) && repo.url.size() > prefix.size()) return std::nullopt;
  if (!is_short_form(repo.url)) return "url must be an https://, git@ or file:// URL, or owner/repo with a provider";
  if (repo.provider) return std::nullopt;
  return "the short form '" + repo.url + "' needs a provider: github, gitlab or bitbucket";
}

Rule<RepoBody> repo() {
  return [](Value const& value, RepoBody& out) {
    if (value.text() || (value.json() && value.json()->is_string())) {
      if (!place()(value, out.url)) return false;
    } else {
      Model in(value);
      in.need("url", out.url, place());
      in.may("ref", out.ref, place());
      in.may("provider", out.provider, one_of({"github", "gitlab", "bitbucket"}));
      if (!in.done()) return false;
    }
    auto const why = why_no_repo(out);
    return !why || value.refuse_value(*why);
  };
}

Rule<PluginBody> plugin() {
  return [](Value const& value, PluginBody& out) {
    Model in(value, Extra::ignore);
    in.need("source", out.source, place());
    in.may("ref", out.ref, place());
    in.may("repo_path", out.repo_path, place());
    return in.done();
  };
}

// A list, or one item alone, which is as a list of it.
template <class T>
Rule<std::vector<T>> one_or_many(Rule<T> rule, std::size_t min, std::size_t max, bool texts_too) {
  return [rule = std::move(rule), min, max, texts_too](Value const& value, std::vector<T>& out) {
    auto const json = *value.json();
    bool const is_one = json.is_object() || (texts_too && json.is_string());
    if (!is_one) return list_of(rule, min, max)(value, out);
    out.assign(1, T{});
    return rule(Value(value.faults(), below(value.loc(), std::size_t{0}), json), out.front());
  };
}

Rule<VariantBody> variant() {
  return [](Value const& value, VariantBody& out) {
    Model in(value);
    in.need("name", out.name, text(1, 100));
    in.need("weight", out.weight, whole(1, 1'000'000));
    in.may("model", out.model, model_name());
    in.need("plugins", out.plugins, list_of(plugin(), 1, plugins_max));
    return in.done();
  };
}

Rule<std::vector<VariantBody>> variants() {
  return [](Value const& value, std::vector<VariantBody>& out) {
    if (!list_of(variant(), 2, 10)(value, out)) return false;
    std::set<std::string_view> names;
    for (auto const& one : out) names.insert(one.name);
    return names.size() == out.size() || value.refuse_value("Variant names must be unique");
  };
}

void read_common(Model& in, PresetBody& out, BodyRules const& rules) {
  in.need("name", out.name, text(1, name_characters_max));
  in.need("prompt", out.prompt, text(1, prompt_characters_max));
  in.may("model", out.model, model_name());
  in.need("trigger", out.trigger, trigger(rules));
  in.may("timeout", out.timeout, timeout(rules));
  in.may("keep_alive", out.keep_alive, flag());
  in.may("repos", out.repos, one_or_many(repo(), 0, repos_max, true));
  in.may("template", out.provenance, template_provenance());
  in.may("enabled", out.enabled, flag());
  read_later_members(in, out.later);
  read_our_members(in, out.ours, rules);
}

void write_optional(JsonWriter& w, std::string_view name, std::optional<std::string> const& value) {
  if (value) w.member(name, *value);
}

enum class Credentials : bool { shown, masked };

std::string url_of(std::string const& url, Credentials credentials) {
  return credentials == Credentials::masked ? without_user_information(url) : url;
}

void write_plugins(JsonWriter& w, std::vector<PluginBody> const& plugins, Credentials credentials) {
  w.begin_array();
  for (auto const& one : plugins) {
    w.begin_object().member("source", url_of(one.source, credentials));
    write_optional(w, "ref", one.ref);
    write_optional(w, "repo_path", one.repo_path);
    w.end_object();
  }
  w.end_array();
}

void write_repos(JsonWriter& w, std::vector<RepoBody> const& repos, Credentials credentials) {
  w.begin_array();
  for (auto const& one : repos) {
    w.begin_object().member("url", url_of(one.url, credentials));
    write_optional(w, "ref", one.ref);
    write_optional(w, "provider", one.provider);
    w.end_object();
  }
  w.end_array();
}

bool is_plugin_preset(PresetBody const& body) { return body.has_plugins || !body.variants.empty(); }

}  // namespace

std::string without_user_information(std::string_view url) {
  auto const scheme = url.find("://");
  if (scheme == url.npos) return std::string(url);
  auto const authority = scheme + 3;
  auto const end = std::min(url.find_first_of("/?#", authority), url.size());
  auto const at = url.substr(0, end).rfind('@');
  if (at == url.npos || at < authority) return std::string(url);
  return std::string(url.substr(0, authority)).append("****").append(url.substr(at));
}

PresetBody read_prompt_preset(Model in, BodyRules const& rules) {
  PresetBody out;
  read_common(in, out, rules);
  in.done();
  return out;
}

PresetBody read_plugin_preset(Model in, BodyRules const& rules) {
  PresetBody out;
  std::optional<std::vector<PluginBody>> plugins;
  std::optional<std::vector<VariantBody>> arms;
  std::optional<std::string> experiment;
  read_common(in, out, rules);
  in.may("plugins", plugins, one_or_many(plugin(), 1, plugins_max, false));
  in.may("variants", arms, variants());
  in.may("experiment_id", experiment, text(1, 200));
  if (!in.done()) return out;
  std::string_view why;
  if (plugins.has_value() == arms.has_value()) why = "Exactly one of 'plugins' and 'variants' must be given";
  if (arms && !experiment) why = "'experiment_id' is required with 'variants'";
  if (plugins && experiment) why = "'experiment_id' may only be given with 'variants'";
  if (!why.empty()) in.value().refuse_value(why);
  out.has_plugins = plugins.has_value();
  if (plugins) out.plugins = *std::move(plugins);
  if (arms) out.variants = *std::move(arms);
  out.experiment_id = std::move(experiment).value_or(std::string());
  return out;
}

std::string preset_metadata_json(PresetBody const& body) {
  std::string out;
  JsonWriter w(out);
  w.begin_object().member("preset_type", is_plugin_preset(body) ? "plugin" : "prompt").member("prompt", body.prompt);
  if (body.has_plugins) {
    w.key("plugins");
    write_plugins(w, body.plugins, Credentials::masked);
  }
  if (body.repos && !body.repos->empty()) {
    w.key("repos");
    write_repos(w, *body.repos, Credentials::masked);
  }
  if (body.provenance) w.key("template").raw(body.provenance->json());
  w.end_object();
  return out;
}

std::string repos_config_json(PresetBody const& body) {
  if (!body.repos || body.repos->empty()) return {};
  std::string out;
  JsonWriter w(out);
  write_repos(w, *body.repos, Credentials::shown);
  return out;
}

std::string plugins_config_json(PresetBody const& body) {
  if (!body.has_plugins) return {};
  std::string out;
  JsonWriter w(out);
  write_plugins(w, body.plugins, Credentials::shown);
  return out;
}

std::string experiment_config_json(PresetBody const& body) {
  if (body.variants.empty()) return {};
  std::string out;
  JsonWriter w(out);
  w.begin_object().member("experiment_id", body.experiment_id).key("variants").begin_array();
  for (auto const& one : body.variants) {
    w.begin_object();
    w.member("model", one.model);
    w.member("name", one.name).member("weight", one.weight).key("plugins");
    write_plugins(w, one.plugins, Credentials::shown);
    w.end_object();
  }
  w.end_array().end_object();
  return out;
}

std::string preset_tarball(PresetBody const& body, std::chrono::sys_seconds modified) {
  std::vector<TarFile> files;
  files.push_back({"main.py", std::string(preset_main())});
  files.push_back({"prompt.txt", body.prompt});
  files.push_back({"setup.sh", std::string(preset_setup()), 0755});
  auto const add = [&](std::string name, std::string json) {
    if (!json.empty()) files.push_back({std::move(name), std::move(json)});
  };
  add("repos_config.json", repos_config_json(body));
  add("plugins_config.json", plugins_config_json(body));
  add("experiment_config.json", experiment_config_json(body));
  return write_tar_gz(files, modified);
}

std::string preset_upload_name(PresetBody const& body) {
  std::string name = is_plugin_preset(body) ? "plugin-automation-" : "prompt-automation-";
  return name.append(cut_to(body.name, 50));
}

std::string preset_upload_description(PresetBody const& body) {
  return std::string("Auto-generated from prompt: ").append(cut_to(body.prompt, 100)).append("...");
}

}  // namespace nestgate::api
