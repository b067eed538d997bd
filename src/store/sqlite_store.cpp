#include "sqlite_store.hpp"

#include "probe.hpp"
#include "schema.hpp"

namespace nestgate::store {
namespace {

template <class T>
struct OutcomeOf {
  using Type = Outcome<T>;
};
template <class T>
struct OutcomeOf<Outcome<T>> {
  using Type = Outcome<T>;
};

}  // namespace

SqliteStore::Open::Open(std::string path, std::vector<Secret> const& keys)
    : database(std::move(path)),
      sealer(keys),
      conversations(database, sealer),
      statics(database, sealer),
      identities(database, sealer) {
  upgrade(database, schema_steps());
  database.make_ours();
  renew_probe(database, sealer);
}

SqliteStore::SqliteStore(std::string path, std::vector<Secret> const& keys) { open_.emplace(std::move(path), keys); }

// `job` gets what is open, and returns an outcome, a value that becomes one, or nothing.
template <class Job>
auto SqliteStore::on_thread(Job job) {
  using T = typename OutcomeOf<std::invoke_result_t<Job&, Open&>>::Type;
  auto work = [this, job = std::move(job)]() mutable -> T {
    if (!open_) return upstream::fail(FaultKind::unavailable, "store", "store: it is closed");
    try {
      open_->database.check_file();
      if constexpr (std::is_void_v<std::invoke_result_t<Job&, Open&>>) {
        job(*open_);
        return T{};
      } else {
        return job(*open_);
      }
    } catch (Unusable const& unusable) {
      return unusable.failure;
    }
  };
  return run_on(thread_, std::move(work));
}

Task<Outcome<>> SqliteStore::renew(std::string gateway, std::chrono::milliseconds for_time) {
  return on_thread([gateway = std::move(gateway), for_time](Open& o) { o.conversations.renew(gateway, for_time); });
}

Task<Outcome<>> SqliteStore::leave(std::string gateway) {
  return on_thread([gateway = std::move(gateway)](Open& o) { o.conversations.leave(gateway); });
}

Task<Outcome<Claim>> SqliteStore::claim(ConversationRow wanted, std::string gateway, Quota quota) {
  return on_thread([wanted = std::move(wanted), gateway = std::move(gateway), quota](Open& o) mutable {
    return o.conversations.claim(std::move(wanted), gateway, quota);
  });
}

Task<Outcome<std::optional<ConversationRow>>> SqliteStore::take(ConversationId id, std::string gateway) {
  return on_thread(
      [id = std::move(id), gateway = std::move(gateway)](Open& o) { return o.conversations.take(id, gateway); });
}

Task<Outcome<>> SqliteStore::save(ConversationRow row) {
  return on_thread([row = std::move(row)](Open& o) { return o.conversations.save(row); });
}

Task<Outcome<>> SqliteStore::forget(ConversationId id, std::string gateway, Epoch epoch) {
  return on_thread([id = std::move(id), gateway = std::move(gateway), epoch](Open& o) {
    return o.conversations.forget(id, gateway, epoch);
  });
}

Task<Outcome<std::optional<ConversationRow>>> SqliteStore::find(ConversationId id) {
  return on_thread([id = std::move(id)](Open& o) { return o.conversations.find(id); });
}

Task<Outcome<std::vector<ConversationRow>>> SqliteStore::conversations() {
  return on_thread([](Open& o) { return o.conversations.all(); });
}

Task<Outcome<Store::Changes>> SqliteStore::changes_since(std::uint64_t version) {
  return on_thread([version](Open& o) { return o.conversations.changes_since(version); });
}

Task<Outcome<>> SqliteStore::ask_holder(ConversationId id, std::string wish) {
  return on_thread([id = std::move(id), wish = std::move(wish)](Open& o) { return o.conversations.ask_holder(id, wish); });
}

Task<Outcome<std::uint64_t>> SqliteStore::put_statics(std::vector<StaticRow> put, std::vector<std::string> removed) {
  return on_thread([put = std::move(put), removed = std::move(removed)](Open& o) { return o.statics.change(put, removed); });
}

Task<Outcome<Store::StaticChanges>> SqliteStore::statics_since(std::uint64_t version) {
  return on_thread([version](Open& o) { return o.statics.since(version); });
}

Task<Outcome<>> SqliteStore::put_user(UserRow user) {
  return on_thread([user = std::move(user)](Open& o) { o.identities.put_user(user); });
}

Task<Outcome<std::vector<UserRow>>> SqliteStore::users() {
  return on_thread([](Open& o) { return o.identities.users(); });
}

Task<Outcome<Secret>> SqliteStore::user_settings(std::string user) {
  return on_thread([user = std::move(user)](Open& o) { return o.identities.settings(user); });
}

Task<Outcome<>> SqliteStore::put_user_settings(std::string user, Secret json) {
  return on_thread([user = std::move(user), json = std::move(json)](Open& o) { o.identities.put_settings(user, json); });
}

Task<Outcome<>> SqliteStore::put_user_secret(std::string user, UserSecretRow secret) {
  return on_thread([user = std::move(user), secret = std::move(secret)](Open& o) { o.identities.put_secret(user, secret); });
}

Task<Outcome<>> SqliteStore::remove_user_secret(std::string user, std::string name) {
  return on_thread([user = std::move(user), name = std::move(name)](Open& o) { o.identities.remove_secret(user, name); });
}

Task<Outcome<std::vector<UserSecretRow>>> SqliteStore::user_secrets(std::string user) {
  return on_thread([user = std::move(user)](Open& o) { return o.identities.secrets(user); });
}

Task<Outcome<>> SqliteStore::add_api_key(ApiKeyRow key) {
  return on_thread([key = std::move(key)](Open& o) { return o.identities.add_api_key(key); });
}

Task<Outcome<>> SqliteStore::revoke_api_key(std::string id_or_name) {
  return on_thread([name = std::move(id_or_name)](Open& o) { return o.identities.revoke_api_key(name); });
}

Task<Outcome<std::vector<ApiKeyRow>>> SqliteStore::api_keys() {
  return on_thread([](Open& o) { return o.identities.api_keys(); });
}

Task<Outcome<std::uint64_t>> SqliteStore::identity_version() {
  return on_thread([](Open& o) { return o.identities.version(); });
}

Task<> SqliteStore::close() {
  auto work = [this] {
    open_.reset();
    return true;
  };
  co_await run_on(thread_, std::move(work));
}

}  // namespace nestgate::store
