#pragma once

#include "registry.hpp"

namespace nestgate::conversation {

// Nested servers that someone else runs: from the settings, or put through the API and remembered. On the control core.
class StaticRuntimes {
 public:
  StaticRuntimes(Executor control, Registry& registry, ManagerSettings const& settings);

  // What Manager says of put_static and remove_static.
  Task<Outcome<>> put(StaticRuntime fixed);
  Task<> remove(ConversationId id);
  // What Manager says of change_statics.
  Task<Outcome<StaticsChanged>> change(std::vector<StaticRuntime> put, std::vector<ConversationId> removed);
  // Those that were put through the API, by any gateway on the store, since the last look.
  Task<Outcome<>> follow();

  // Names are not tried any more.
  void stop_looking() { look_ups_.stop(); }
  Task<> join();

 private:
  // One that was put, before anybody is told.
  struct Placed {
    std::vector<Outcome<>> outcomes;
    std::vector<RuntimeRecordPtr> records;
  };
  Outcome<upstream::Url> checked_url(StaticRuntime const& fixed) const;
  Outcome<upstream::Url> check_put(StaticRuntime const& fixed) const;
  Placed place_all(std::vector<StaticRuntime>& put);
  Outcome<> place_routed(StaticRuntime& fixed, Placed& placed);
  upstream::Place place_at(upstream::Url const& url, asio::ip::tcp::endpoint const& at) const;
  void place(Conversation& c, StaticRuntime const& fixed, upstream::Place at);
  std::pair<ConversationId, Epoch> forget(Conversation& c);
  static bool has_same_key(Conversation const& c, StaticRuntime const& fixed);
  bool is_same_route(Conversation const& c, StaticRuntime const& fixed) const;
  bool is_as_before(Conversation const& c, StaticRuntime const& fixed, upstream::Place const& at) const;
  ConversationPtr add_or_find(ConversationId const& id);
  void take_key(Conversation& c, StaticRuntime const& fixed);
  Task<Result<upstream::Endpoints>> look_up(upstream::Url const& url);
  enum class First : bool { now, after_a_pause };
  Task<> place_once_found(ConversationPtr c, StaticRuntime fixed, upstream::Url url, unsigned turn, First first);
  bool is_latest(Conversation const& c, unsigned turn) const;

  Registry& registry_;
  ManagerSettings const& settings_;
  std::uint64_t store_version_ = 0;
  TaskGroup look_ups_;  // of those whose names are not found yet
};

}  // namespace nestgate::conversation
