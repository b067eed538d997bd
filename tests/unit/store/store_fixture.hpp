#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "databases.hpp"
#include "nestgate/store/store.hpp"
#include "support/control.hpp"

namespace nestgate::store {

using namespace std::chrono_literals;

inline std::vector<Secret> installation_secrets(std::initializer_list<std::string_view> texts = {"the first secret"}) {
  std::vector<Secret> out;
  for (auto const text : texts) out.emplace_back(std::string(text));
  return out;
}

inline ConversationId id_of(std::string_view text) { return ConversationId::parse(text).value(); }

inline ConversationRow row_of(std::string_view id, std::string owner = "alice") {
  ConversationRow row{id_of(id)};
  row.owner = std::move(owner);
  row.purpose = "conversation";
  return row;
}

// A gateway's side: a loop of its own, and a store on it that is closed at the end.
class Gateway {
 public:
  explicit Gateway(std::string const& url, std::vector<Secret> keys = installation_secrets())
      : store_(value_of(open_store(url, std::move(keys), control_.executor()))) {}
  ~Gateway() { control_.run(store_->close()); }
  Gateway(Gateway const&) = delete;
  Gateway& operator=(Gateway const&) = delete;

  Store& store() { return *store_; }
  // What the call returned.
  template <class T>
  Outcome<T> ask(Task<Outcome<T>> call) {
    return control_.run(std::move(call));
  }
  // What a call that must go well returned.
  template <class T>
  T get(Task<Outcome<T>> call) {
    return value_of(ask(std::move(call)));
  }
  template <class T>
  FaultKind fault(Task<Outcome<T>> call) {
    auto const outcome = ask(std::move(call));
    if (outcome) throw std::runtime_error("no fault");
    return outcome.error().fault.kind;
  }
  Claim claim(ConversationRow wanted, std::string gateway = "a", Quota quota = {}) {
    return get(store_->claim(std::move(wanted), std::move(gateway), quota));
  }
  // Claimed, and saved in that phase.
  ConversationRow bring_up(ConversationRow wanted, Phase phase = Phase::running, std::string gateway = "a") {
    auto row = claim(std::move(wanted), std::move(gateway)).row;
    row.phase = phase;
    get(store_->save(copy_of(row)));
    return row;
  }

  static ConversationRow copy_of(ConversationRow const& row) {
    ConversationRow copy{row.id,
                         row.owner,
                         row.organisation,
                         row.purpose,
                         row.phase,
                         row.reason,
                         row.closed,
                         row.epoch,
                         row.key_generation,
                         row.units,
                         row.provider,
                         row.handle,
                         row.endpoint,
                         row.ports_json,
                         row.spec_id,
                         row.dialect,
                         row.session_key.clone(),
                         row.wish_json.clone(),
                         row.configuration_json.clone(),
                         row.about_json.clone(),
                         row.created_at,
                         row.changed_at,
                         row.last_act_at,
                         row.asked,
                         row.holder};
    return copy;
  }

 private:
  template <class T>
  static T value_of(Outcome<T> outcome) {
    if (!outcome) throw std::runtime_error(outcome.error().reason);
    if constexpr (!std::is_void_v<T>) return std::move(*outcome);
  }

  test::Control control_;
  std::unique_ptr<Store> store_;
};

// What the call for it says, which must fail.
inline std::string reason_not_to_open(std::string const& url, std::vector<Secret> keys = installation_secrets()) {
  asio::io_context loop(1);
  auto const opened = open_store(url, std::move(keys), loop.get_executor());
  EXPECT_FALSE(opened);
  if (opened) return {};
  EXPECT_EQ(opened.error().fault.kind, FaultKind::unavailable);
  return opened.error().reason;
}

// The calls of one store over each database.
class StoreCalls : public testing::TestWithParam<Kind<TestDatabase>> {
 protected:
  std::unique_ptr<TestDatabase> database_ = GetParam().make();
  Gateway gateway_{database_->url()};
  Store& store_ = gateway_.store();
};

// Several gateways on one database, at once and one after the other.
class SharedStore : public testing::TestWithParam<Kind<SharedDatabase>> {
 protected:
  std::string url() const { return database_->url(); }

  std::unique_ptr<SharedDatabase> database_ = GetParam().make();
};

class StoreFile : public testing::Test {
 protected:
  std::string file() const { return database_.file(); }
  std::string url() const { return database_.url(); }

  SqliteFile database_;
  test::TempFolder const& folder_ = database_.folder();
};

}  // namespace nestgate::store
