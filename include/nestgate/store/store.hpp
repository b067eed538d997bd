#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "nestgate/base/conversation_id.hpp"
#include "nestgate/base/secret.hpp"
#include "nestgate/base/strong.hpp"
#include "nestgate/identity/api_key.hpp"
#include "nestgate/identity/session_key.hpp"
#include "nestgate/net/net.hpp"
#include "nestgate/upstream/failure.hpp"

// What nestgate remembers over a restart: conversations, users, their settings and secrets, API keys, static routes.
namespace nestgate::store {

using upstream::Failure;
using upstream::Outcome;
using Time = std::chrono::system_clock::time_point;

// What became of a conversation, as far as a later gateway must know.
enum class Phase : std::uint8_t {
  starting,  // something of it may exist
  running,
  paused,
  stopping,  // something of it may exist
  stopped,
  error,
  removing,  // its files are to go
};
std::string_view to_string(Phase phase) noexcept;
std::optional<Phase> parse_phase(std::string_view text);
// Nothing of it exists that anybody could hold: a row in that phase is nobody's, whoever wrote it.
constexpr bool is_over(Phase phase) noexcept { return phase == Phase::stopped || phase == Phase::error; }

struct ConversationRow {
  ConversationId id;
  std::string owner{};
  std::string organisation{};
  std::string purpose{};  // "conversation", "sandbox", "runtime", "warm"
  Phase phase = Phase::starting;
  std::string reason{};
  std::string closed{};  // why its clients were closed; "" for no reason that concerns them
  Epoch epoch{0};
  std::uint64_t key_generation = 0;  // counts withdrawn session keys
  std::uint32_t units = 1;           // of resources: its resource factor
  std::string provider{};
  std::string handle{};    // the provider's own name of its runtime
  std::string endpoint{};  // "127.0.0.1:4711"; "" when it is not up
  std::string ports_json = "[]";
  std::string spec_id{};        // sandbox specification, as the client named it
  std::string dialect{};        // of its nested server
  Secret session_key{};         // the provider's own, when it is not the derived one; sealed in the file
  Secret wish_json{};           // image, command, environment; sealed
  Secret configuration_json{};  // settings, git tokens, secrets, first message; sealed
  Secret about_json{};          // title, repository: a title tells what its user wrote; sealed
  Time created_at{};
  Time changed_at{};
  Time last_act_at{};
  std::string asked{};   // by another gateway through ask_holder: "stop", "pause", "resume"
  std::string holder{};  // the gateway that works on it or serves it; "" when nobody does
};

// How much may be in use at once (phases starting, running, stopping; paused counts where `paused_counts`), rows of purpose
// "warm" aside; 0: no limit. Rows without an owner, or organisation, are in no owner's, or organisation's, quota.
struct Quota {
  std::uint32_t of_owner = 0;
  std::uint32_t of_organisation = 0;
  std::uint32_t in_all = 0;
  std::uint32_t units_of_owner = 0;  // resource factors, summed
  std::uint32_t units_of_organisation = 0;
  std::uint32_t units_in_all = 0;
  bool paused_counts = false;
};

enum class QuotaKind : std::uint8_t { owner, organisation, all };
std::string_view to_string(QuotaKind kind) noexcept;

// The answer to a claim. Exactly one of them.
struct Claim {
  enum class What : std::uint8_t {
    taken,      // the row is this gateway's to work on; its epoch is new
    elsewhere,  // another gateway that lives holds it
    up,         // this gateway's already, in phase starting, running or stopping
    refused,    // by the quota
  } what = What::taken;
  ConversationRow row;               // as it is now; for `refused` as it was asked for
  QuotaKind quota = QuotaKind::all;  // refused: by which
  bool by_units = false;             // refused: by resources, not by count
  std::uint32_t limit = 0, current = 0;
};

struct StaticRow {
  std::string id;
  std::string url;
  std::string ports_json = "[]";
  std::optional<Secret> session_key;  // sealed
};

struct UserRow {
  std::string name;
  std::string organisation;
  bool disabled = false;
  Time created_at{};
};

struct UserSecretRow {
  std::string name;
  std::string description;
  Secret value;  // sealed
};

struct ApiKeyRow {
  std::string id;  // 8 hex digits: what `revoke` and logs name
  std::string name;
  std::string owner;  // a user's name; "" only for role admin
  identity::Role role = identity::Role::user;
  std::string hash;  // identity::hash_api_key
  Time created_at{};
  std::optional<Time> revoked_at;
};

class AutomationStore;

// Durable state: what a call changed is on the disk when it returns. Every call may be awaited on the control core; changes
// are made in the order of the calls, and a call sees all that was changed by those which returned before it was made. A
// cancel of the caller does not undo what was asked. Faults of all: unavailable (the file or the server cannot be used, or
// something sealed not be opened; the sentence says why; what it would have changed is not, unless the sentence says that
// this is not known), conflict where said. What is marked sealed is encrypted at rest. The store's clock is that of the
// machine with the file, or of the server.
class Store {
 public:
  virtual ~Store() = default;

  // This gateway lives for so long from now on, by the store's clock; to be renewed. What a dead one held may be claimed.
  virtual Task<Outcome<>> renew(std::string gateway, std::chrono::milliseconds for_time) = 0;
  // The gateway goes, or is known to be dead: it holds nothing any more.
  virtual Task<Outcome<>> leave(std::string gateway) = 0;
  // The names of those that have not left, whether or not their time is over.
  virtual Task<Outcome<std::vector<std::string>>> gateways() = 0;
  // One transaction: takes `wanted.id` for `gateway` in phase starting with a new epoch when nobody alive holds it, or this
  // gateway holds it paused, and the quota allows. A row in phase stopped or error is nobody's, whoever held it. A known
  // row keeps its created_at, key_generation and, where `wanted`'s are empty, its configuration, wish, about, provider,
  // handle; what it was asked for is forgotten. Conflicts: a row of another owner, one that is being removed.
  virtual Task<Outcome<Claim>> claim(ConversationRow wanted, std::string gateway, Quota quota) = 0;
  // Takes over what is not held by anybody alive, as it is (for recovery and stops). Nothing: somebody else has it, or it
  // is gone.
  virtual Task<Outcome<std::optional<ConversationRow>>> take(ConversationId id, std::string gateway) = 0;
  // Writes a row that `row.holder` holds, but for what it is asked for; a wish, a configuration and an about that are empty
  // stay as they are. Fault conflict: it does not, or the row is of another epoch (fencing).
  virtual Task<Outcome<>> save(ConversationRow row) = 0;
  // A row of that epoch that this gateway holds, or nobody; again is well. Fault conflict: it is another's by now (fencing).
  virtual Task<Outcome<>> forget(ConversationId id, std::string gateway, Epoch epoch) = 0;
  virtual Task<Outcome<std::optional<ConversationRow>>> find(ConversationId id) = 0;
  virtual Task<Outcome<std::vector<ConversationRow>>> conversations() = 0;
  // Rows changed since the version, by any gateway; `version` 0: all. Returns the version to ask from next.
  struct Changes {
    std::uint64_t version = 0;
    std::vector<ConversationRow> rows;
    std::vector<std::string> forgotten;  // canonical ids
    bool is_all = false;  // what is not among the rows is gone, too: `version` was 0, or longer ago than is remembered
  };
  virtual Task<Outcome<Changes>> changes_since(std::uint64_t version) = 0;
  // Asks whoever holds it to stop, pause or resume it; seen in changes_since. "" takes the wish back. Fault
  // not_found.
  virtual Task<Outcome<>> ask_holder(ConversationId id, std::string wish) = 0;

  // One transaction; what is removed goes first. The version that statics_since tells of it.
  virtual Task<Outcome<std::uint64_t>> put_statics(std::vector<StaticRow> put, std::vector<std::string> removed) = 0;
  // As changes_since, of static runtimes.
  struct StaticChanges {
    std::uint64_t version = 0;
    std::vector<StaticRow> rows;
    std::vector<std::string> removed;  // ids
    bool is_all = false;
  };
  virtual Task<Outcome<StaticChanges>> statics_since(std::uint64_t version) = 0;

  // A known one keeps its created_at; the keys of one that is disabled are revoked.
  virtual Task<Outcome<>> put_user(UserRow user) = 0;
  virtual Task<Outcome<std::vector<UserRow>>> users() = 0;
  // The user's settings as a JSON object; empty: none were set.
  virtual Task<Outcome<Secret>> user_settings(std::string user) = 0;
  virtual Task<Outcome<>> put_user_settings(std::string user, Secret json) = 0;
  virtual Task<Outcome<>> put_user_secret(std::string user, UserSecretRow secret) = 0;
  virtual Task<Outcome<>> remove_user_secret(std::string user, std::string name) = 0;
  virtual Task<Outcome<std::vector<UserSecretRow>>> user_secrets(std::string user) = 0;

  // Faults: conflict (a key of that name is there and not revoked; its owner is disabled), not_found (its owner).
  virtual Task<Outcome<>> add_api_key(ApiKeyRow key) = 0;
  // By id, or by name; again is well. Fault not_found.
  virtual Task<Outcome<>> revoke_api_key(std::string id_or_name) = 0;
  virtual Task<Outcome<std::vector<ApiKeyRow>>> api_keys() = 0;
  // Counts up whenever users or API keys were changed, by any process.
  virtual Task<Outcome<std::uint64_t>> identity_version() = 0;

  // Of automations, their runs and completions. As long as the store.
  virtual AutomationStore& automations() = 0;
  // Called on the control core whenever another gateway said that it changed something for others. Where nothing can say so
  // (SQLite), never: who must know looks by itself.
  virtual void on_notify(std::function<void()> listener) = 0;

  // After it every call is a fault. To be awaited before the end; calls under way come first.
  virtual Task<> close() = 0;
};

struct OpenOptions {
  std::uint32_t connections = 4;  // to a PostgreSQL server, for reads; one more writes, and one may listen
};

// `url`: "sqlite:PATH" (one file, WAL), "sqlite::memory:" or "postgresql://…" (as libpq takes it; it may hold a password and
// is kept as one). Creates and upgrades the schema; blocks, for a server that is away up to 10 s. `keys`: the
// installation's secrets; the first seals, all open. `control`: where the calls are awaited. Faults: bad_input (the url),
// unavailable (with the reason).
Outcome<std::unique_ptr<Store>> open_store(std::string_view url, std::vector<Secret> keys, Executor control,
                                           OpenOptions options = {});

// Whether open_store would open it, and `keys` what is sealed in it. Only looks: nothing is created, upgraded or locked, and
// a gateway may have it open; blocks. Faults as open_store.
Outcome<> check_store(std::string_view url, std::vector<Secret> const& keys);

}  // namespace nestgate::store
