#pragma once

#include <set>

#include "lifecycle.hpp"
#include "static_runtimes.hpp"

namespace nestgate::conversation {

// What is looked at again and again: what really runs, who is idle, whose tokens end, what other gateways on the store did.
// On the control core.
class Sweeps {
 public:
  Sweeps(Executor control, Registry& registry, Lifecycle& lifecycle, StaticRuntimes& statics,
         runtime::RuntimeProvider& provider, WarmPool& warm, ManagerSettings const& settings);

  // What an earlier gateway left behind; once, before the sweeps begin.
  Task<Outcome<>> recover();
  void begin();
  Task<> end();
  // Why the lease could not be renewed the last time; "": it could.
  std::string const& store_problem() const noexcept { return store_problem_; }

 private:
  using Found = std::map<std::string, runtime::Found>;  // by canonical id

  Task<Outcome<Found>> look();
  Task<Outcome<>> show_rows();
  // What a row says of one that is over, or, of another, that what runs of it is not known.
  void show(Conversation& c, store::ConversationRow& row);
  Task<> forget_others(std::set<std::string> known);
  Task<> forget_gone(ConversationPtr c);
  Task<Outcome<>> recover_all(Found const& found);
  bool is_at_rest(store::ConversationRow const& row, runtime::Found const* found) const;
  Task<> recover_one(store::ConversationRow row, runtime::Found const* found);
  // How the provider takes a runtime on: one that it does not know yet, or one that it has paused itself.
  enum class TakenOn : std::uint8_t { anew, from_pause };
  Task<> adopt(ConversationPtr c, TakenOn how, runtime::Wish wish);
  Task<Outcome<>> adopt_instance(ConversationPtr c, TakenOn how, runtime::Wish wish);
  Task<Outcome<runtime::Instance>> take_on(ConversationPtr c, TakenOn how, runtime::Wish wish, Deadline by);
  Task<> clean_up(ConversationPtr c, runtime::Leftovers leftovers);
  Task<> clean_up_warm(store::ConversationRow row);
  Task<> clean_up_left_warm(store::ConversationRow row);

  Task<Outcome<>> bury_the_dead();
  Task<> renew_forever();
  Task<> follow_forever();
  Task<> follow();
  void follow_row(store::ConversationRow row);
  void heed(ConversationPtr const& c, std::string const& asked);
  Task<> take_back_wish(ConversationId id);
  void see(store::ConversationRow row);
  Task<> release_lost(ConversationId id);
  Task<> reconcile_forever();
  Task<> reconcile();
  Task<> reconcile_one(ConversationPtr c, Found& found);
  Task<> take_from_the_dead();
  Task<> settle_orphans(Found const& found);
  Task<> idle_forever();
  Task<> note_activity();
  void close_idle(ConversationPtr const& c);
  Task<> ask_before_closing(ConversationPtr c);
  void refresh_due_tokens();
  Task<> statuses_forever();
  Task<> note_status(ConversationPtr c);
  // Whether its server answered.
  Task<bool> ask_status(ConversationPtr c);

  Registry& registry_;
  Lifecycle& lifecycle_;
  StaticRuntimes& statics_;
  runtime::RuntimeProvider& provider_;
  WarmPool& warm_;
  ManagerSettings const& settings_;
  bool is_recovered_ = false;  // what an earlier gateway left is known
  std::uint64_t store_version_ = 0;
  std::string store_problem_;
  std::set<std::string> late_;           // canonical ids of rows that were not followed, since a task worked on them
  std::set<std::string> known_orphans_;  // canonical ids: each is told of once
  TaskGroup tasks_;
};

}  // namespace nestgate::conversation
