#include "app/identity_commands.hpp"

#include <algorithm>
#include <optional>
#include <ostream>

#include "app/settings_specs.hpp"
#include "nestgate/base/text.hpp"
#include "nestgate/codec/json_writer.hpp"
#include "nestgate/net/task_group.hpp"
#include "nestgate/store/store.hpp"
#include "nestgate/upstream/random.hpp"

namespace nestgate::app {
namespace {

using upstream::Outcome;

// As the owner and the name of an API key in the settings.
constexpr Text user_name{1, 128};
constexpr Text organisation_name{0, 128};
constexpr Text api_key_name{1, 64};

int complain(Terminal terminal, int code, std::string_view what) {
  terminal.err << "nestgate: " << what << '\n';
  return code;
}
int complain(Terminal terminal, store::Failure const& failure) { return complain(terminal, exit_failed, failure.reason); }

// A store whose calls are waited for, each in turn.
class WaitingStore {
 public:
  static Outcome<std::unique_ptr<WaitingStore>> open(Settings settings) {
    std::unique_ptr<WaitingStore> made(new WaitingStore);
    auto opened = store::open_store(settings.store_url, std::move(settings.identity.secrets), made->loop_.get_executor());
    if (!opened) return opened.error();
    made->store_ = std::move(*opened);
    return made;
  }
  ~WaitingStore() {
    if (store_) run(store_->close());
  }
  WaitingStore(WaitingStore const&) = delete;
  WaitingStore& operator=(WaitingStore const&) = delete;

  store::Store* operator->() { return store_.get(); }
  template <class T>
  T wait(Task<T> call) {
    std::optional<T> out;
    run(keep(std::move(call), out));
    return std::move(*out);
  }

 private:
  WaitingStore() = default;
  template <class T>
  static Task<> keep(Task<T> call, std::optional<T>& out) {
    out.emplace(co_await std::move(call));
  }
  void run(Task<> task) {
    auto const rethrow = [](std::exception_ptr bug) {
      if (bug) std::rethrow_exception(bug);
    };
    asio::co_spawn(loop_.get_executor(), quiet(std::move(task)), rethrow);
    loop_.restart();
    loop_.run();
  }

  asio::io_context loop_{1};
  std::unique_ptr<store::Store> store_;
};

std::string time_text(store::Time time) { return rfc3339(time, 0); }

std::string_view or_dash(std::string_view text) { return text.empty() ? "-" : text; }

int list_users(WaitingStore& store, Listing listing, Terminal terminal) {
  auto const users = store.wait(store->users());
  if (!users) return complain(terminal, users.error());
  if (listing == Listing::lines) {
    for (auto const& user : *users) {
      terminal.out << user.name << '\t' << or_dash(user.organisation) << '\t' << (user.disabled ? "disabled" : "active")
                   << '\t' << time_text(user.created_at) << '\n';
    }
    return exit_done;
  }
  std::string json;
  codec::JsonWriter writer(json);
  writer.begin_array();
  for (auto const& user : *users) {
    writer.begin_object().member("name", user.name).member("organisation", user.organisation);
    writer.member("disabled", user.disabled).member("created_at", time_text(user.created_at)).end_object();
  }
  writer.end_array();
  terminal.out << json << '\n';
  return exit_done;
}

// One that was disabled comes back, without its keys.
int add_user(WaitingStore& store, UserCommand const& command, Terminal terminal) {
  auto const users = store.wait(store->users());
  if (!users) return complain(terminal, users.error());
  auto const is_it = [&command](store::UserRow const& user) { return user.name == command.name && !user.disabled; };
  if (std::any_of(users->begin(), users->end(), is_it))
    return complain(terminal, exit_failed, "there is a user " + command.name + " already");
  store::UserRow user;
  user.name = command.name;
  user.organisation = command.organisation;
  user.created_at = std::chrono::system_clock::now();
  auto const put = store.wait(store->put_user(std::move(user)));
  return put ? exit_done : complain(terminal, put.error());
}

int revoke_user(WaitingStore& store, std::string const& name, Terminal terminal) {
  auto users = store.wait(store->users());
  if (!users) return complain(terminal, users.error());
  auto const is_it = [&name](store::UserRow const& user) { return user.name == name; };
  auto const found = std::find_if(users->begin(), users->end(), is_it);
  if (found == users->end()) return complain(terminal, exit_failed, "there is no user " + name);
  found->disabled = true;
  auto const put = store.wait(store->put_user(std::move(*found)));
  return put ? exit_done : complain(terminal, put.error());
}

int list_api_keys(WaitingStore& store, Listing listing, Terminal terminal) {
  auto const keys = store.wait(store->api_keys());
  if (!keys) return complain(terminal, keys.error());
  if (listing == Listing::lines) {
    for (auto const& key : *keys) {
      terminal.out << key.id << '\t' << key.name << '\t' << identity::to_string(key.role) << '\t' << or_dash(key.owner)
                   << '\t' << time_text(key.created_at) << '\t' << (key.revoked_at ? time_text(*key.revoked_at) : "-")
                   << '\n';
    }
    return exit_done;
  }
  std::string json;
  codec::JsonWriter writer(json);
  writer.begin_array();
  for (auto const& key : *keys) {
    writer.begin_object().member("id", key.id).member("name", key.name).member("role", identity::to_string(key.role));
    writer.member("owner", key.owner).member("created_at", time_text(key.created_at)).key("revoked_at");
    key.revoked_at ? writer.value(time_text(*key.revoked_at)) : writer.null();
    writer.end_object();
  }
  writer.end_array();
  terminal.out << json << '\n';
  return exit_done;
}

Secret new_api_key() {
  identity::Sha256 bytes;  // as many as a digest has
  upstream::fill_random(bytes);
  std::string key = "ng_";
  key.reserve(64);  // no shorter copy is left behind
  identity::append_base64url(key, bytes);
  OPENSSL_cleanse(bytes.data(), bytes.size());
  return Secret(std::move(key));
}

int add_api_key(WaitingStore& store, ApiKeyCommand const& command, Terminal terminal) {
  auto const key = new_api_key();
  store::ApiKeyRow row;
  row.id = upstream::random_hex(4);
  row.name = command.name;
  row.owner = command.owner;
  row.role = command.role;
  row.hash = identity::hash_api_key(key.reveal());
  row.created_at = std::chrono::system_clock::now();
  auto const added = store.wait(store->add_api_key(std::move(row)));
  if (!added) return complain(terminal, added.error());
  terminal.out << key.reveal() << '\n';
  return exit_done;
}

// Opens the store and does `work` with it. What only this process could see is no store to work on.
template <class Work>
int with_store(Settings settings, Terminal terminal, Work work) {
  if (settings.store_url == "sqlite::memory:")
    return complain(terminal, exit_wrong_usage, "store.url: sqlite::memory: keeps nothing; a path is needed here");
  auto store = WaitingStore::open(std::move(settings));
  return store ? work(**store) : complain(terminal, store.error());
}

}  // namespace

int run_user(UserCommand const& command, Settings settings, Terminal terminal) {
  using What = UserCommand::What;
  if (command.what == What::add && !user_name.fits(command.name))
    return complain(terminal, exit_wrong_usage, "the name is not allowed; allowed: " + user_name.allowed());
  if (!organisation_name.fits(command.organisation))
    return complain(terminal, exit_wrong_usage, "the organisation is not allowed; allowed: " + organisation_name.allowed());
  return with_store(std::move(settings), terminal, [&](WaitingStore& store) {
    switch (command.what) {
      case What::add: return add_user(store, command, terminal);
      case What::list: return list_users(store, command.listing, terminal);
      case What::revoke: return revoke_user(store, command.name, terminal);
    }
    return exit_wrong_usage;
  });
}

int run_apikey_admin(ApiKeyCommand const& command, Settings settings, Terminal terminal) {
  using What = ApiKeyCommand::What;
  if (command.what == What::add) {
    if (!api_key_name.fits(command.name))
      return complain(terminal, exit_wrong_usage, "the name is not allowed; allowed: " + api_key_name.allowed());
    if (command.role != identity::Role::admin && command.owner.empty())
      return complain(terminal, exit_wrong_usage, "--owner is missing; a key that is not an admin's needs one");
    auto const& others = settings.identity.api_keys;
    auto const has_the_name = [&command](identity::ApiKeyEntry const& key) { return key.principal.name == command.name; };
    if (std::any_of(others.begin(), others.end(), has_the_name))
      return complain(terminal, exit_failed, "there is an API key " + command.name + " in the settings");
  }
  return with_store(std::move(settings), terminal, [&](WaitingStore& store) {
    switch (command.what) {
      case What::add: return add_api_key(store, command, terminal);
      case What::list: return list_api_keys(store, command.listing, terminal);
      case What::revoke: {
        auto const revoked = store.wait(store->revoke_api_key(command.name));
        return revoked ? exit_done : complain(terminal, revoked.error());
      }
    }
    return exit_wrong_usage;
  });
}

}  // namespace nestgate::app
