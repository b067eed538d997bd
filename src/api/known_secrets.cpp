#include "known_secrets.hpp"

#include <algorithm>
#include <map>

namespace nestgate::api {
namespace {

using upstream::Outcome;

constexpr std::size_t owners_max = 1'000;
constexpr std::size_t conversations_max = 10'000;
constexpr std::string_view token_suffix = "_token";

Task<Outcome<nested::Configuration>> read_configuration(store::Store& store, ConversationId id) {
  NESTGATE_CO_TRY(row, co_await store.find(std::move(id)));
  if (!row || row->configuration_json.empty()) co_return nested::Configuration{};
  auto configuration = nested::parse_configuration(row->configuration_json);
  if (!configuration)
    co_return upstream::fail(FaultKind::internal, "api.secrets", "the conversation's configuration cannot be read");
  co_return *std::move(configuration);
}

Task<Outcome<std::vector<store::UserSecretRow>>> read_users(store::Store& store, std::string owner) {
  if (owner.empty()) co_return std::vector<store::UserSecretRow>{};
  co_return co_await store.user_secrets(std::move(owner));
}

template <class Rows>
auto const* find_named(Rows const& rows, std::string_view name) {
  auto const found = std::find_if(rows.begin(), rows.end(), [name](auto const& row) { return row.name == name; });
  return found == rows.end() ? nullptr : &*found;
}

}  // namespace

std::vector<SecretName> ConversationSecrets::names() const {
  std::map<std::string, std::string> by_name;  // what is put first stays
  for (auto const& secret : configuration_->secrets) by_name.emplace(secret.name, secret.description);
  for (auto const& secret : *owners_) by_name.emplace(secret.name, secret.description);
  for (auto const& token : configuration_->git_tokens)
    by_name.emplace(token.provider + std::string(token_suffix), token.provider + " provider token");
  std::vector<SecretName> out;
  out.reserve(by_name.size());
  for (auto& [name, description] : by_name) out.push_back({name, std::move(description)});
  return out;
}

Secret const* ConversationSecrets::find(std::string_view name) const {
  if (auto const* own = find_named(configuration_->secrets, name)) return &own->value;
  if (auto const* owners = find_named(*owners_, name)) return &owners->value;
  if (!name.ends_with(token_suffix)) return nullptr;
  name.remove_suffix(token_suffix.size());
  for (auto const& token : configuration_->git_tokens) {
    if (token.provider == name) return &token.token;
  }
  return nullptr;
}

KnownSecrets::KnownSecrets(store::Store& store, std::chrono::milliseconds age_max)
    : store_(store), owners_(age_max, owners_max), configurations_(age_max, conversations_max) {}

Task<Outcome<ConversationSecrets>> KnownSecrets::of(conversation::View const& conversation) {
  auto const& id = conversation.id;
  Version const version(conversation.epoch, conversation.version);
  auto owner = conversation.owner;
  NESTGATE_CO_TRY(configuration, co_await configurations_.get(id.canonical(), version, read_configuration(store_, id)));
  NESTGATE_CO_TRY(owners, co_await of_user(std::move(owner)));
  co_return ConversationSecrets(std::move(configuration), std::move(owners));
}

Task<Outcome<ConversationSecrets::OwnersSecrets>> KnownSecrets::of_user(std::string owner) {
  auto load = read_users(store_, owner);
  co_return co_await owners_.get(std::move(owner), 0, std::move(load));
}

}  // namespace nestgate::api
