#include "user_configuration.hpp"

#include <simdjson.h>

#include <algorithm>

#include "nestgate/codec/json_writer.hpp"

namespace nestgate::automation {
namespace {

namespace dom = simdjson::dom;

struct Member {
  std::string_view of_user, of_server;
};
constexpr Member model_members[] = {
    {"llm_model", "model"},
    {"llm_api_key", "api_key"},
    {"llm_base_url", "base_url"},
};

constexpr bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

}  // namespace

Secret agent_settings_of(Secret const& user_settings) {
  dom::parser parser;
  dom::object settings;
  auto const json = user_settings.reveal();
  if (json.empty() || parser.parse(json.data(), json.size()).get_object().get(settings)) return Secret();
  std::string out;
  out.reserve(64 + 6 * json.size());  // each byte escaped, so that no copy stays behind in memory
  codec::JsonWriter w(out);
  bool is_any = false;
  w.begin_object().key("agent_settings_diff").begin_object().key("llm").begin_object();
  for (auto const& member : model_members) {
    std::string_view value;
    if (settings[member.of_user].get_string().get(value) || value.empty()) continue;
    w.member(member.of_server, value);
    is_any = true;
  }
  w.end_object().end_object().end_object();
  Secret written(std::move(out));
  return is_any ? std::move(written) : Secret();
}

bool is_agent_secret_name(std::string_view name) noexcept {
  constexpr std::size_t bytes_max = 64;
  auto const is_allowed = [](char c) { return is_letter(c) || (c >= '0' && c <= '9') || c == '_'; };
  return !name.empty() && name.size() <= bytes_max && is_letter(name.front()) && std::ranges::all_of(name, is_allowed);
}

Task<upstream::Outcome<nested::Configuration>> configuration_of(store::Store& store, std::string owner) {
  nested::Configuration out;
  if (owner.empty()) co_return std::move(out);
  NESTGATE_CO_TRY(settings, co_await store.user_settings(owner));
  out.settings_json = agent_settings_of(settings);
  NESTGATE_CO_TRY(secrets, co_await store.user_secrets(owner));
  for (auto& secret : secrets) {
    // A refused one would fail every run of the user; it can still be had over the Cloud API.
    if (!is_agent_secret_name(secret.name)) continue;
    out.secrets.push_back({std::move(secret.name), std::move(secret.value), std::move(secret.description)});
  }
  co_return std::move(out);
}

}  // namespace nestgate::automation
