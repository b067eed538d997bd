#include "lifecycle.hpp"

#include <algorithm>

namespace nestgate::conversation {
namespace {

using upstream::fail;
using SystemClock = std::chrono::system_clock;

template <class Entry, class Name>
void merge_by_name(std::vector<Entry>& into, std::vector<Entry> from, Name name) {
  for (auto& entry : from) {
    auto const same = std::find_if(into.begin(), into.end(), [&](Entry const& old) { return old.*name == entry.*name; });
    if (same == into.end()) {
      into.push_back(std::move(entry));
    } else {
      *same = std::move(entry);
    }
  }
}

}  // namespace

void merge(nested::Configuration& configuration, nested::Configuration change) {
  if (!change.settings_json.empty()) configuration.settings_json = std::move(change.settings_json);
  if (!change.conversation_json.empty()) configuration.conversation_json = std::move(change.conversation_json);
  merge_by_name(configuration.git_tokens, std::move(change.git_tokens), &nested::GitToken::provider);
  merge_by_name(configuration.secrets, std::move(change.secrets), &nested::CustomSecret::name);
}

Task<Outcome<View>> Lifecycle::reconfigure(ConversationId id, nested::Configuration change) {
  NESTGATE_CO_TRY(c, registry_.find_managed(id));
  NESTGATE_CO_TRY_VOID(co_await registry_.until_idle(c));
  if (c->is_elsewhere) co_return fail(FaultKind::conflict, "conversation.configure", "another gateway works on it");
  if (!c->is_idle_in(RuntimeState::running))
    co_return fail(FaultKind::conflict, "conversation.configure", "it does not run: start it with its new configuration");
  auto const by = Deadline::in(settings_.configure_step_time_max);
  if (!change.git_tokens.empty()) NESTGATE_CO_TRY_VOID(co_await credentials_.check(change.git_tokens, by));
  bool const has_tokens = !change.git_tokens.empty();
  auto const refresh_at = credentials_.first_refresh_at(change.git_tokens);
  NESTGATE_CO_TRY_VOID(co_await tell(c, std::move(change)));
  if (has_tokens && refresh_at) c->refresh_at = std::min(c->refresh_at.value_or(*refresh_at), *refresh_at);
  co_return registry_.view_of(*c);
}

// One after the other, so that each is merged with what the one before it left.
Task<Outcome<>> Lifecycle::tell(ConversationPtr c, nested::Configuration change) {
  NESTGATE_CO_TRY_VOID(co_await registry_.until_told(c));
  if (!c->is_idle_in(RuntimeState::running))
    co_return fail(FaultKind::conflict, "conversation.configure", "it does not run any more");
  c->is_being_told = true;
  auto told = co_await tell_and_keep(c, std::move(change));
  c->is_being_told = false;
  c->idle.cancel();
  co_return told;
}

// The server first: what it does not take is not kept either.
Task<Outcome<>> Lifecycle::tell_and_keep(ConversationPtr c, nested::Configuration change) {
  nested::Client client(c->endpoint, c->session_key.clone());
  NESTGATE_CO_TRY(dialect, co_await client.configure(change, settings_.configure_step_time_max));
  if (dialect != nested::Dialect::unknown) c->dialect = dialect;
  NESTGATE_CO_TRY(row, co_await registry_.store().find(c->id));
  if (!row) co_return unknown_conversation();
  nested::Configuration kept;
  if (auto stored = nested::parse_configuration(row->configuration_json)) kept = std::move(*stored);
  merge(kept, std::move(change));
  auto next = registry_.row_of(*c);  // held: it runs here
  next.configuration_json = nested::configuration_json(kept);
  NESTGATE_CO_TRY_VOID(co_await registry_.store().save(std::move(next)));
  registry_.note_changed(*c);
  co_return Outcome<>{};
}

void Lifecycle::refresh_soon(Conversation& c, Secret const& configuration_json) {
  auto const stored = nested::parse_configuration(configuration_json);
  if (stored && credentials_.first_refresh_at(stored->git_tokens)) c.refresh_at = SystemClock::now();
}

void Lifecycle::begin_refresh(ConversationPtr c) {
  c->refresh_at.reset();
  tasks_.spawn("conversation.refresh", refresh_tokens(std::move(c)));
}

// What cannot be had now is asked for again after half of the time that is left for it.
Task<> Lifecycle::refresh_tokens(ConversationPtr c) {
  constexpr std::chrono::seconds again_after{30};
  auto const epoch = c->epoch;
  auto row = co_await registry_.store().find(c->id);
  if (!row && c->epoch == epoch && c->is_idle_in(RuntimeState::running)) c->refresh_at = SystemClock::now() + again_after;
  auto stored = row && *row ? nested::parse_configuration((*row)->configuration_json) : std::nullopt;
  if (!stored || stored->git_tokens.empty()) co_return;
  auto const by = Deadline::in(settings_.configure_step_time_max);
  auto fresh = co_await credentials_.refresh(c->id, stored->git_tokens, c->session_key, by);
  if (c->epoch != epoch || !c->is_idle_in(RuntimeState::running)) co_return;
  if (!fresh) {
    c->refresh_at = SystemClock::now() + again_after;
    co_return;
  }
  nested::Configuration change;
  change.git_tokens = std::move(fresh->tokens);
  auto const told = co_await tell(c, std::move(change));
  c->refresh_at = fresh->next_at;
  if (!told) c->refresh_at = SystemClock::now() + again_after;
}

void Lifecycle::take_title(ConversationPtr c, std::string title) {
  if (c->about.title == title) return;
  c->about.title = std::move(title);
  registry_.note_changed(*c);
  // The task that works on it saves it anyway, and a removal's row is not to be written over.
  if (c->is_held && !c->is_busy && !registry_.is_closing()) tasks_.spawn("conversation.title", save(std::move(c)));
}

Task<> Lifecycle::save(ConversationPtr c) { [[maybe_unused]] auto saved = co_await registry_.save(std::move(c)); }

Task<Outcome<View>> Lifecycle::withdraw_key(ConversationId id) {
  NESTGATE_CO_TRY(c, registry_.find_managed(id));
  NESTGATE_CO_TRY_VOID(co_await registry_.until_idle(c));
  if (c->is_elsewhere) co_return fail(FaultKind::conflict, "conversation.key", "another gateway works on it");
  registry_.withdraw_client_key(*c);
  auto saved = co_await registry_.save(c);
  co_await registry_.publish(c);  // also where it is not remembered: who asked wants that key to open nothing
  if (!saved) co_return saved.error();
  co_return registry_.view_of(*c);
}

}  // namespace nestgate::conversation
