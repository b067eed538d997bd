#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "aged_cache.hpp"
#include "cloud_shapes.hpp"
#include "nestgate/conversation/manager.hpp"
#include "nestgate/nested/configuration.hpp"
#include "nestgate/store/store.hpp"

namespace nestgate::api {

// The secrets that a conversation may look up: those of its own configuration, its owner's, and its git tokens by the names
// `github_token`, …; of one name the first of these counts. Immutable; shares what was read.
class ConversationSecrets {
 public:
  using Configuration = std::shared_ptr<nested::Configuration const>;
  using OwnersSecrets = std::shared_ptr<std::vector<store::UserSecretRow> const>;
  ConversationSecrets(Configuration configuration, OwnersSecrets owners)
      : configuration_(std::move(configuration)), owners_(std::move(owners)) {}

  std::vector<SecretName> names() const;  // sorted
  // Lives as long as this object; nullptr for an unknown name.
  Secret const* find(std::string_view name) const;

 private:
  Configuration configuration_;
  OwnersSecrets owners_;
};

// Reads them from the store and keeps them in memory for a short time: each run of an agent asks for every one of them. On
// the control core; `store` outlives it.
class KnownSecrets {
 public:
  KnownSecrets(store::Store& store, std::chrono::milliseconds age_max);

  // `conversation` outlives the call. Faults: those of the store; internal (what it has of the conversation cannot be read).
  Task<upstream::Outcome<ConversationSecrets>> of(conversation::View const& conversation);
  // Those of a user; none for "".
  Task<upstream::Outcome<ConversationSecrets::OwnersSecrets>> of_user(std::string owner);
  void forget_user(std::string const& owner) { owners_.drop(owner); }

 private:
  // A life of an id, and how often it changed: the next one of that id may be another's.
  using Version = std::pair<Epoch, std::uint64_t>;

  store::Store& store_;
  AgedCache<std::vector<store::UserSecretRow>> owners_;
  AgedCache<nested::Configuration, Version> configurations_;
};

}  // namespace nestgate::api
