#include "nestgate/conversation/credentials.hpp"

#include <algorithm>
#include <utility>

#include "conversation/gather.hpp"
#include "conversation/refresh_answer.hpp"
#include "nestgate/base/text.hpp"
#include "nestgate/upstream/http_client.hpp"

namespace nestgate::conversation {
namespace {

using std::chrono::system_clock;
using upstream::Answer;
using upstream::Call;
using upstream::Failure;
using upstream::Outcome;

constexpr std::size_t answer_bytes_max = 64 * 1024;

// When a token that could not be refreshed is asked for again: several times before its end.
system_clock::time_point retry_time(system_clock::time_point now, std::chrono::milliseconds refresh_before) {
  constexpr int tries = 4;
  constexpr std::chrono::milliseconds soonest{10'000};
  return now + std::max(refresh_before / tries, soonest);
}

std::string step_of(std::string_view provider) { return "credentials: " + std::string(provider); }

// Neither ends a field nor starts another one.
bool is_field_text(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c <= '~'; });
}

Secret bearer(Secret const& token) {
  constexpr std::string_view scheme = "Bearer ";
  std::string text;
  text.reserve(scheme.size() + token.size());
  text.append(scheme).append(token.reveal());
  return Secret(std::move(text));
}

Failure unknown_token(std::string_view provider) {
  return upstream::fail(FaultKind::bad_input, "credentials.check", step_of(provider) + " does not know its token");
}

Outcome<upstream::Url> url_of(std::string_view provider, std::string_view text) {
  auto url = upstream::parse_url(text);
  if (!url) return upstream::fail(FaultKind::internal, "credentials.url", step_of(provider) + ": its URL is none");
  return std::move(*url);
}

Task<Outcome<>> check_one(nested::GitToken const& token, std::string const& check_url, Deadline by) {
  if (!is_field_text(token.token.reveal())) co_return unknown_token(token.provider);
  NESTGATE_CO_TRY(url, url_of(token.provider, check_url));
  Call call;
  call.url = std::move(url);
  call.answer_bytes_max = answer_bytes_max;
  call.secret_headers.emplace_back("Authorization", bearer(token.token));
  call.headers.emplace_back("User-Agent", "nestgate");  // api.github.com answers 403 to none
  auto const answer = co_await upstream::call(std::move(call), by);
  if (!answer) co_return upstream::failed(step_of(token.provider), answer.error());
  if (answer->status == 401 || answer->status == 403) co_return unknown_token(token.provider);
  if (!answer->ok()) co_return upstream::refused(step_of(token.provider), answer->status);
  co_return Outcome<>{};
}

Task<Outcome<RefreshAnswer>> refresh_one(std::string const& provider, std::string const& refresh_url,
                                         ConversationId const& id, Secret const& session_key, Deadline by) {
  NESTGATE_CO_TRY(url, url_of(provider, refresh_url));
  if (!url.query.empty()) url.query += '&';
  url.query += "provider=";
  append_percent_encoded(url.query, provider);
  url.query += "&sid=";
  append_percent_encoded(url.query, id.text());
  Call call;
  call.url = std::move(url);
  call.answer_bytes_max = answer_bytes_max;
  call.secret_headers.emplace_back("X-Session-API-Key", session_key.clone());
  auto const answer = co_await upstream::call(std::move(call), by);
  if (!answer) co_return upstream::failed(step_of(provider), answer.error());
  if (!answer->ok()) co_return upstream::refused(step_of(provider), answer->status);
  auto parsed = parse_refresh_answer(answer->body);
  if (!parsed)
    co_return upstream::fail(FaultKind::upstream, "credentials.refresh",
                             step_of(provider) + ": the answer has another shape");
  co_return std::move(*parsed);
}

class HttpCredentials final : public Credentials {
 public:
  explicit HttpCredentials(CredentialSettings settings) : settings_(std::move(settings)) {}

  Task<Outcome<>> check(std::vector<nested::GitToken> const& tokens, Deadline by) override {
    std::vector<Task<Outcome<>>> checks;
    for (auto const& token : tokens) {
      auto const url = settings_.check_urls.find(token.provider);
      if (token.token.empty() || url == settings_.check_urls.end()) continue;
      checks.push_back(check_one(token, url->second, by.capped(settings_.call_time_max)));
    }
    auto const done = co_await gather(std::move(checks));
    Outcome<> first;
    for (auto const& one : done) {
      if (!one && one.error().fault.kind == FaultKind::bad_input) co_return one;
      if (!one && first) first = one;
    }
    co_return first;
  }

  Task<Outcome<RefreshedTokens>> refresh(ConversationId id, std::vector<nested::GitToken> const& held,
                                         Secret const& session_key, Deadline by) override {
    RefreshedTokens out;
    out.tokens.reserve(held.size());
    for (auto const& token : held)
      out.tokens.push_back(nested::GitToken{token.provider, token.token.clone(), token.user_id, token.host});
    if (settings_.refresh_url.empty() || held.empty()) co_return out;
    std::vector<Task<Outcome<RefreshAnswer>>> calls;
    calls.reserve(held.size());
    for (auto const& token : held)
      calls.push_back(
          refresh_one(token.provider, settings_.refresh_url, id, session_key, by.capped(settings_.call_time_max)));
    auto answers = co_await gather(std::move(calls));
    auto const now = system_clock::now();
    bool is_any_new = false;
    for (std::size_t i = 0; i < answers.size(); ++i) {
      auto next = retry_time(now, settings_.refresh_before);
      if (answers[i]) {
        is_any_new = true;
        next = refresh_time(answers[i]->expires_at.value_or(now + settings_.lifetime), now, settings_.refresh_before);
        out.tokens[i].token = std::move(answers[i]->token);
      }
      out.next_at = std::min(out.next_at.value_or(next), next);
    }
    if (!is_any_new) co_return answers.front().error();
    co_return out;
  }

  std::optional<system_clock::time_point> first_refresh_at(std::vector<nested::GitToken> const& tokens) const override {
    if (settings_.refresh_url.empty() || tokens.empty()) return std::nullopt;
    auto const now = system_clock::now();
    return refresh_time(now + settings_.lifetime, now, settings_.refresh_before);
  }

 private:
  CredentialSettings settings_;
};

}  // namespace

std::unique_ptr<Credentials> make_credentials(CredentialSettings settings) {
  return std::make_unique<HttpCredentials>(std::move(settings));
}

}  // namespace nestgate::conversation
