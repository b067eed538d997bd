#include "app/settings_keys.hpp"

#include <array>
#include <bit>
#include <charconv>

#include "app/settings_key_groups.hpp"
#include "nestgate/base/text.hpp"
#include "nestgate/http/head.hpp"

namespace nestgate::app {

namespace {

using namespace std::chrono_literals;

template <auto... Members, class Owner, class Spec>
void add_required(std::vector<Key<Owner>>& keys, std::string_view name, Spec spec, Reload reload, std::string_view doc) {
  add<Members...>(keys, name, spec, reload, doc);
  keys.back().presence = Presence::required;
}

struct Address {
  std::string allowed() const { return R"("ADDRESS:PORT", "[ADDRESS]:PORT" or "unix:PATH")"; }
  Problem read(ListenAddress& out, RawValue const& value) const {
    constexpr std::string_view scheme = "unix:";
    constexpr std::size_t path_length_max = 107;  // sockaddr_un
    if (value.kind == RawValue::Kind::text && value.text.starts_with(scheme)) {
      auto path = value.text.substr(scheme.size());
      if (path.empty() || path.size() > path_length_max) return not_allowed(value, "unix:PATH, 1 to 107 bytes of path");
      out = std::filesystem::path(std::move(path));
      return std::nullopt;
    }
    auto const endpoint = value.kind == RawValue::Kind::text ? parse_endpoint(value.text) : std::nullopt;
    if (!endpoint) return not_allowed(value, allowed());
    out = *endpoint;
    return std::nullopt;
  }
  std::string print(ListenAddress const& value) const { return in_quotes(to_string(value)); }
};

struct Endpoint {
  std::string allowed() const { return R"("ADDRESS:PORT" or "[ADDRESS]:PORT")"; }
  Problem read(boost::asio::ip::tcp::endpoint& out, RawValue const& value) const {
    auto const endpoint = value.kind == RawValue::Kind::text ? parse_endpoint(value.text) : std::nullopt;
    if (!endpoint) return not_allowed(value, allowed());
    out = *endpoint;
    return std::nullopt;
  }
  std::string print(boost::asio::ip::tcp::endpoint const& value) const { return in_quotes(print_endpoint(value)); }
};

bool is_port_name(std::string_view text) {
  auto const allowed = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-'; };
  return std::all_of(text.begin(), text.end(), allowed);
}

// 0 is no limit; else within bounds.
struct OrZero {
  std::int64_t min, max;
  std::string allowed() const { return Bytes{min, max}.allowed() + ", or 0: no limit"; }
  Problem read(std::uint64_t& out, RawValue const& value) const {
    if (value.text == "0") {
      out = 0;
      return std::nullopt;
    }
    return Bytes{min, max}.read(out, value);
  }
  std::string print(std::uint64_t value) const { return value == 0 ? "0" : Bytes{min, max}.print(value); }
};

// Named ports of a container, as a table.
struct DockerPorts {
  using Ports = std::vector<std::pair<std::string, std::uint16_t>>;
  MapOf<Count> table() const { return {{1, 32, "of a-z0-9_-", is_port_name}, {1, 65'535}, 64}; }
  std::string allowed() const { return table().allowed(); }
  Problem read(std::vector<runtime::DockerPort>& out, RawValue const& value) const {
    Ports ports;
    if (auto problem = table().read(ports, value)) return problem;
    out.clear();
    for (auto& [name, number] : ports) out.push_back({std::move(name), number});
    return std::nullopt;
  }
  std::string print(std::vector<runtime::DockerPort> const& value) const {
    Ports ports;
    for (auto const& port : value) ports.emplace_back(port.name, port.container_port);
    return table().print(ports);
  }
};

struct Networks {
  static constexpr std::size_t size_max = 1'000;
  std::string allowed() const { return "list of 0 to 1000: address, or address/bits with nothing set behind the bits"; }
  Problem read(TrustedProxies& out, RawValue const& value) const {
    auto const list = as_list(value);
    if (list.kind != RawValue::Kind::list || list.items.size() > size_max) return not_allowed(value, allowed());
    TrustedProxies networks;
    Problem problems;
    for (auto const& item : list.items) {
      bool const added = item.kind == RawValue::Kind::text && add_network(item.text, networks) == Added::yes;
      if (!added) add_problem(problems, not_allowed(item, allowed()).value());
    }
    if (!problems) out = std::move(networks);
    return problems;
  }
  std::string print(TrustedProxies const& value) const {
    std::string out = "[";
    auto const put = [&out](auto const& network) {
      out.append(out.size() > 1 ? ", " : "").append(in_quotes(network.to_string()));
    };
    for (auto const& network : value.v4) put(network);
    for (auto const& network : value.v6) put(network);
    return out + "]";
  }
};

struct ResourceFactor {
  std::string allowed() const { return "1, 2, 4 or 8"; }
  Problem read(std::uint32_t& out, RawValue const& value) const {
    std::uint32_t factor = 0;
    bool const is_power = !Count{1, 8}.read(factor, value) && std::has_single_bit(factor);
    if (!is_power) return not_allowed(value, allowed());
    out = factor;
    return std::nullopt;
  }
  std::string print(std::uint32_t value) const { return std::to_string(value); }
};

struct OptionalId {
  std::string allowed() const { return "conversation id (1 to 128 of A-Za-z0-9._-), or empty"; }
  Problem read(std::optional<ConversationId>& out, RawValue const& value) const {
    if (value.kind != RawValue::Kind::text) return not_allowed(value, allowed());
    auto id = ConversationId::parse(value.text);
    if (!id && !value.text.empty()) return not_allowed(value, allowed());
    out = std::move(id);
    return std::nullopt;
  }
  std::string print(std::optional<ConversationId> const& value) const { return in_quotes(value ? value->text() : ""); }
};

struct AccessTarget {
  std::string allowed() const { return R"("stderr", "off" or a path)"; }
  Problem read(AccessLogTarget& out, RawValue const& value) const {
    std::filesystem::path path;
    if (Path{1}.read(path, value)) return not_allowed(value, allowed());
    if (value.text == "stderr") {
      out = AccessLogStderr{};
    } else if (value.text == "off") {
      out = AccessLogOff{};
    } else {
      out = std::move(path);
    }
    return std::nullopt;
  }
  std::string print(AccessLogTarget const& value) const {
    if (std::holds_alternative<AccessLogStderr>(value)) return in_quotes("stderr");
    if (std::holds_alternative<AccessLogOff>(value)) return in_quotes("off");
    return in_quotes(std::get<std::filesystem::path>(value).string());
  }
};

// The value is not repeated in a fault: somebody may have put the key itself there.
struct ApiKeyHash {
  std::string allowed() const { return "as printed by `nestgate apikey hash`: sha256: and 64 hex digits"; }
  Problem read(std::string& out, RawValue const& value) const {
    if (!identity::is_api_key_hash(value.text)) return "not a hash; allowed: " + allowed();
    out = value.text;
    return std::nullopt;
  }
  std::string print(std::string const& value) const { return in_quotes(value); }
};

bool is_domain(std::string_view text) {
  auto const allowed = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.'; };
  return text.front() != '.' && text.back() != '.' && text.find("..") == text.npos &&
         std::all_of(text.begin(), text.end(), allowed);
}

bool is_certificate_name(std::string_view text) { return is_domain(text.starts_with("*.") ? text.substr(2) : text); }

bool is_public_url(std::string_view text) { return is_origin("http", text) || is_origin("https", text); }

}  // namespace

bool is_base_url(std::string_view text) {
  auto const authority = text.find("://");
  auto const path = authority == text.npos ? text.npos : text.find('/', authority + 3);
  auto const rest = path == text.npos ? std::string_view{} : text.substr(path);
  return is_public_url(text.substr(0, path)) && rest.find_first_of("?# ") == rest.npos;
}

namespace {

bool is_provider(std::string_view text) { return text == "process" || text == "docker" || text == "remote"; }

bool is_pull_policy(std::string_view text) { return text == "Always" || text == "IfNotPresent" || text == "Never"; }

bool names_an_id(std::string_view text) { return text.find("{id}") != text.npos; }

bool is_store_url(std::string_view text) {
  bool const is_server = text.starts_with("postgresql://") || text.starts_with("postgres://");
  return is_server || (text.starts_with(sqlite_scheme) && text.size() > sqlite_scheme.size());
}
bool is_path_prefix(std::string_view text) {
  return text.front() == '/' && text.back() != '/' && text.find('%') == text.npos;
}

void add_listen(std::vector<Key<Settings>>& keys) {
  constexpr auto l = &Settings::listen;
  add<l, &ListenSettings::client>(keys, "listen.client", ListOf<Address>{{}, 0, 64}, Reload::restart,
                                  "Where clients connect without TLS; port 0: any free port.");
  add<l, &ListenSettings::client_tls>(keys, "listen.client_tls", ListOf<Address>{{}, 0, 64}, Reload::restart,
                                      "Where clients connect with TLS; needs a [[tls.certificate]].");
  add<l, &ListenSettings::threads>(keys, "listen.threads", Count{0, 256}, Reload::restart, "Proxy threads; 0: one a core.");
  add<l, &ListenSettings::admin>(
      keys, "listen.admin", Endpoint{}, Reload::restart,
      "/healthz, /readyz, /metrics, /debug/*. It asks for no key: keep it on loopback or a private network.");
}

void add_tls(std::vector<Key<Settings>>& keys) {
  Choice<TlsVersionMin, 2> const versions{{{{"1.2", TlsVersionMin::tls_1_2}, {"1.3", TlsVersionMin::tls_1_3}}}};
  add<&Settings::tls, &TlsSettings::min_version>(keys, "tls.min_version", versions, Reload::yes,
                                                 "The oldest TLS version that clients may use.");
}

void add_identity(std::vector<Key<Settings>>& keys) {
  constexpr auto i = &Settings::identity;
  Choice<identity::Derivation, 2> const derivations{
      {{{"sha256", identity::Derivation::sha256}, {"hmac-sha256", identity::Derivation::hmac_sha256}}}};
  add<i, &IdentitySettings::secret_file>(
      keys, "identity.secret_file", secret_path, Reload::yes,
      "File with the secret that session keys are derived from; line ends at its end are not part of it. "
      "NESTGATE_SECRET, where set, is used instead of every file.");
  add<i, &IdentitySettings::secret_files>(keys, "identity.secret_files", ListOf<Text>{{1, 4096, "path"}, 0, 16}, Reload::yes,
                                          "Instead of secret_file, for rotation: the first derives, all verify.");
  add<i, &IdentitySettings::derivation>(keys, "identity.derivation", derivations, Reload::restart,
                                        "sha256: what existing installations use; hmac-sha256: for those who start fresh.");
  add<i, &IdentitySettings::allow_short_secret>(
      keys, "identity.allow_short_secret", Flag{}, Reload::yes,
      "true: a secret under 32 bytes is a warning, not a refusal. For old installations.");
}

void add_routing(std::vector<Key<Settings>>& keys) {
  constexpr auto r = &Settings::routing;
  constexpr auto rules = &RoutingSettings::rules;
  using http::RouteRules;
  auto const rule = [&keys]<auto Member>(std::string_view name, std::string_view doc) {
    add<&Settings::routing, &RoutingSettings::rules, Member>(keys, name, Flag{}, Reload::yes, doc);
  };
  add<r, rules, &RouteRules::domain>(keys, "routing.domain",
                                     Text{0, 190, "lower-case domain name, or empty: no host routing", is_domain},
                                     Reload::yes, "Host routing: {id}.{domain} and {port}-{id}.{domain}.");
  add<r, &RoutingSettings::fallback>(keys, "routing.default", OptionalId{}, Reload::yes,
                                     "The conversation that takes what no rule matches: one gateway before one server.");
  add<r, &RoutingSettings::public_url>(keys, "routing.public_url",
                                       Text{0, 255, "http://HOST[:PORT] or https://HOST[:PORT], or empty", is_public_url},
                                       Reload::yes, "Origin of the URLs in answers; empty: as the client wrote it.");
  add<r, &RoutingSettings::trusted_proxies>(
      keys, "routing.trusted_proxies", Networks{}, Reload::yes,
      "Peers whose X-Forwarded-* are believed and appended to; anybody else's are replaced.");
  rule.operator()<&RouteRules::host>("routing.host", "Rule 1: the host names the conversation.");
  rule.operator()<&RouteRules::prefix>("routing.prefix", "Rule 2: /runtime/{id}/...");
  rule.operator()<&RouteRules::port>("routing.port", "Rule 2 with a host port of a known runtime: /runtime/{port}/...");
  rule.operator()<&RouteRules::path>("routing.path",
                                     "Rule 3: /api/conversations/{id}..., /sockets/events/{id}, /sockets/session/{id}.");
  rule.operator()<&RouteRules::socket_io>("routing.socket_io", "Rule 4: /socket.io/ by conversation_id, then by sid.");
  rule.operator()<&RouteRules::session_key>("routing.session_key", "Rule 5: the runtime that owns the session key.");
  rule.operator()<&RouteRules::first_frame>("routing.first_frame", "Rule 6: a websocket's first text frame names the key.");
}

void add_conversations(std::vector<Key<Settings>>& keys) {
  constexpr auto c = &Settings::conversations;
  using conversation::ManagerSettings;
  add<c, &ManagerSettings::conversations_max>(
      keys, "runtime.conversations_max", Count{1, 1'000'000}, Reload::restart,
      "Conversations that are known, stopped ones included; beyond it failed starts make room, then 503.");
  add<c, &ManagerSettings::ready_time_max>(keys, "runtime.ready_timeout", Duration{100ms, 1h}, Reload::restart,
                                           "From a server's start until its /alive answers.");
  add<c, &ManagerSettings::configure_step_time_max>(
      keys, "runtime.configure_step_timeout", Duration{100ms, 10min}, Reload::restart,
      "Each of settings, git providers and secrets: a server may check tokens online.");
  add<c, &ManagerSettings::resolve_time_max>(keys, "runtime.resolve_timeout", Duration{100ms, 10min}, Reload::restart,
                                             "Each look-up of the name in a static runtime's URL.");
  add<c, &ManagerSettings::resolve_pause>(keys, "runtime.resolve_pause", Duration{100ms, 1h}, Reload::restart,
                                          "Before a name that was not found is looked up again; meanwhile 503.");
  add<c, &ManagerSettings::stop_call_time_max>(keys, "runtime.stop_timeout", Duration{10ms, 10min}, Reload::restart,
                                               "For the conversation's own stop, before its server is ended.");
  auto const key = below<c>(keys);
  using M = ManagerSettings;
  using conversation::AtLimit;
  using conversation::WhenIdle;
  constexpr auto quota = &M::quota;
  Count const up_to{0, 1'000'000};
  key.operator()<quota, &store::Quota::of_owner>("conversations.owner_max", up_to,
                                                 "Conversations of one owner that may be up at once; 0: no limit.");
  key.operator()<quota, &store::Quota::of_organisation>("conversations.organisation_max", up_to,
                                                        "The same of one organisation; 0: no limit.");
  key.operator()<quota, &store::Quota::in_all>("conversations.all_max", up_to, "The same of everybody; 0: no limit.");
  key.operator()<quota, &store::Quota::units_of_owner>(
      "conversations.owner_resources_max", up_to,
      "Resource factors of one owner's conversations that are up, summed; 0: no limit.");
  key.operator()<quota, &store::Quota::units_of_organisation>("conversations.organisation_resources_max", up_to,
                                                              "The same of one organisation; 0: no limit.");
  key.operator()<quota, &store::Quota::units_in_all>("conversations.all_resources_max", up_to,
                                                     "The same of everybody; 0: no limit.");
  key.operator()<quota, &store::Quota::paused_counts>("conversations.paused_counts", Flag{},
                                                      "Whether a paused conversation counts as one that is up.");
  key.operator()<&M::at_limit>(
      "conversations.at_limit",
      Choice<AtLimit, 2>{{{{"refuse", AtLimit::refuse}, {"close_least_recently_used", AtLimit::close_least_recently_used}}}},
      "A start beyond a limit is refused with 429, or the conversation that was used least lately is stopped for it.");
  key.operator()<&M::when_idle>(
      "conversations.when_idle",
      Choice<WhenIdle, 3>{{{{"nothing", WhenIdle::nothing}, {"pause", WhenIdle::pause}, {"stop", WhenIdle::stop}}}},
      "What happens to a conversation that nobody uses and whose agent does not work.");
  key.operator()<&M::idle_time_max>("conversations.idle_timeout", Duration{1s, 720h},
                                    "Without a user's act, before it counts as idle.");
  key.operator()<&M::idle_sweep>("conversations.idle_sweep", Duration{10ms, 10min}, "How often use is looked at.");
  key.operator()<&M::warm_runtimes>("conversations.warm_runtimes", Count{0, 1'000},
                                    "Runtimes that are started before anybody asks; 0: none.");
  key.operator()<&M::status_time_max>("conversations.status_timeout", Duration{10ms, 1min},
                                      "Each question to a nested server for its own status.");
  key.operator()<&M::status_age_max>("conversations.status_age_max", Duration{100ms, 10min},
                                     "How long such a status is shown before it is asked for again.");
  key.operator()<&M::reconcile_pause>("conversations.reconcile_pause", Duration{100ms, 1h},
                                      "Between two comparisons of what is known with what really runs.");
  key.operator()<&M::close_time_max>("conversations.close_timeout", Duration{1s, 5min},
                                     "At the end of the gateway, where runtimes outlive it: how long the engine or API that "
                                     "keeps them is waited for.");
  key.operator()<&M::remove_orphans>("conversations.remove_orphans", Flag{},
                                     "Whether runtimes of this installation that no conversation has are removed.");
  key.operator()<&M::releases_max>("conversations.releases_max", Count{1, 1'000},
                                   "Tries to end a runtime, before it is left to the next comparison.");
  key.operator()<&M::stop_poll_pause>("conversations.stop_poll_pause", Duration{10ms, 1min},
                                      "Between the looks at whether a nested server has stopped its conversation.");
  key.operator()<&M::internal_url>("conversations.internal_url",
                                   Text{0, 500, "http:// or https:// URL without query, or empty", is_base_url},
                                   "Where nested servers reach this gateway, for what they push; empty: they push nothing.");
  key.operator()<&M::lease_time>("store.lease", Duration{1s, 10min},
                                 "How long another gateway on the store waits for this one before it takes over.");
  key.operator()<&M::follow_pause>("store.follow_pause", Duration{10ms, 1min},
                                   "Between two looks at what other gateways on the store did.");
}

void add_cloud(std::vector<Key<Settings>>& keys) {
  auto const key = below<&Settings::api>(keys);
  using A = api::Settings;
  key.operator()<&A::cloud, &api::CloudSettings::secrets_age_max>(
      "cloud.secrets_age_max", Duration{0ms, 1h},
      "How long secrets that servers look up are given from memory; 0: they are read each time.");
  key.operator()<&A::runtime, &api::RuntimeApiSettings::registry_prefix>(
      "runtime_api.registry_prefix", Text{0, 512}, "What clients put before the names of images that they build.");
  key.operator()<&A::runtime, &api::RuntimeApiSettings::images>(
      "runtime_api.images", ListOf<Text>{{1, 512, "image"}, 0, 1'000},
      "Which users' API keys may name, here and in POST /api/conversations; empty: any. An admin's may name any.");
  using Command = api::RuntimeApiSettings::Command;
  key.operator()<&A::runtime, &api::RuntimeApiSettings::command>(
      "runtime_api.command",
      Choice<Command, 2>{{{{"of_settings", Command::of_settings}, {"of_client", Command::of_client}}}},
      "Whose command and working directory a start has: the provider's settings', or those that the client names.");
  key.operator()<&A::webhooks, &api::WebhookSettings::pending_max>("webhooks.pending_max", Count{1, 1'000'000},
                                                                   "Conversations whose news still waits to be looked at.");
}

void add_credentials(std::vector<Key<Settings>>& keys) {
  using C = conversation::CredentialSettings;
  auto const key = below<&Settings::credentials>(keys);
  Text const url{0, 500, "http:// or https:// URL without query, or empty", is_base_url};
  key.operator()<&C::check_urls>(
      "credentials.check_urls", MapOf<Text>{{1, 64, "of a-z0-9_-", is_port_name}, url, 32},
      "By git provider: what answers 2xx to a token that it knows, 401 or 403 to another; others are not checked.");
  key.operator()<&C::refresh_url>("credentials.refresh_url", url,
                                  "Gives new git tokens, by provider and conversation; empty: none is refreshed.");
  key.operator()<&C::call_time_max>("credentials.timeout", Duration{100ms, 10min}, "Each check, each refresh.");
  key.operator()<&C::refresh_before>("credentials.refresh_before", Duration{1s, 24h},
                                     "So long before its end a token is refreshed.");
  key.operator()<&C::lifetime>("credentials.lifetime", Duration{1s, 8760h}, "Of a token whose end nobody told.");
}

// "1.5", or a whole number without quotes; 0: no limit.
struct Cpus {
  static constexpr double max = 4'096;
  std::string allowed() const { return R"(CPUs, "0.1" to "4096", or 0: no limit)"; }
  Problem read(double& out, RawValue const& value) const {
    bool const right = value.kind == RawValue::Kind::integer || value.kind == RawValue::Kind::text;
    double number = 0;
    auto const* const end = value.text.data() + value.text.size();
    auto const [at, ec] = std::from_chars(value.text.data(), end, number, std::chars_format::fixed);
    bool const is_number = right && ec == std::errc{} && at == end;
    if (!is_number || !(number == 0 || (number >= 0.1 && number <= max))) return not_allowed(value, allowed());
    out = number;
    return std::nullopt;
  }
  Problem read(std::optional<double>& out, RawValue const& value) const {
    double number = 0;
    if (auto problem = read(number, value)) return problem;
    out = number == 0 ? std::nullopt : std::optional(number);
    return std::nullopt;
  }
  std::string print(double value) const {
    if (value == 0) return "0";
    std::array<char, 32> text;
    auto const [end, ec] = std::to_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed);
    return in_quotes({text.data(), static_cast<std::size_t>(end - text.data())});
  }
  std::string print(std::optional<double> const& value) const { return print(value.value_or(0)); }
};

void add_provider(std::vector<Key<Settings>>& keys) {
  add<&Settings::provider>(keys, "runtime.provider", Text{1, 64, "one of \"process\", \"docker\", \"remote\"", is_provider},
                           Reload::restart, "Where new conversations' servers run.");
  add<&Settings::nested_ca_file>(
      keys, "runtime.ca_file", Path{0}, Reload::restart,
      "PEM: who must vouch for nested servers that are reached over https (static ones, those of the remote provider); "
      "empty: the system's authorities.");
}

void add_docker(std::vector<Key<Settings>>& keys) {
  using runtime::DockerSettings;
  using D = DockerSettings;
  auto const key = below<&Settings::docker>(keys);
  key.operator()<&D::host>("runtime.docker.host", Text{1, 300, "unix://PATH or tcp://HOST:PORT"}, "The engine.");
  key.operator()<&D::tls, &ClientTlsFiles::ca_file>(
      "runtime.docker.tls_ca_file", Path{0}, "PEM; with it the engine is spoken to over TLS, and this must vouch for it.");
  key.operator()<&D::tls, &ClientTlsFiles::cert_file>("runtime.docker.tls_cert_file", Path{0},
                                                      "PEM, this gateway's certificate; with its key, or neither.");
  key.operator()<&D::tls, &ClientTlsFiles::key_file>("runtime.docker.tls_key_file", Path{0}, "PEM, not encrypted.");
  key.operator()<&D::installation>("runtime.docker.installation", Text{1, 64, "of a-z0-9_-", is_port_name},
                                   "Whose containers these are, by a label: others' are neither listed nor touched.");
  key.operator()<&D::image>("runtime.docker.image", Text{0, 512}, "Empty: each start must name one.");
  key.operator()<&D::command>("runtime.docker.command", ListOf<Text>{{1, 4096, "argument"}, 0, 100},
                              "What is run in a container; {port} and {id} are replaced. Empty: the image's own command.");
  key.operator()<&D::entry_point>(
      "runtime.docker.entry_point",
      Choice<D::EntryPoint, 2>{{{{"of_image", D::EntryPoint::of_image}, {"none", D::EntryPoint::none}}}},
      "Whether the command is put behind the image's entry point, or is all that runs.");
  key.operator()<&D::name>("runtime.docker.name", Text{4, 128, "with {id} in it", names_an_id}, "Of a container.");
  key.operator()<&D::container_port>("runtime.docker.port", Count{1, 65'535}, "Where the server in a container listens.");
  key.operator()<&D::ports>("runtime.docker.ports", DockerPorts{}, "Further ports of each container, by name.");
  key.operator()<&D::reach>(
      "runtime.docker.reach", Choice<D::Reach, 2>{{{{"published", D::Reach::published}, {"network", D::Reach::network}}}},
      "How a server is reached: by a port of the host that the engine chooses, or by the container's own address.");
  key.operator()<&D::bind_interface>("runtime.docker.bind_interface", Text{2, 64, "an address"}, "Of published ports.");
  key.operator()<&D::network>("runtime.docker.network", Text{0, 128}, "Empty: the engine's default.");
  key.operator()<&D::volumes>("runtime.docker.volumes", ListOf<Text>{{3, 4096, "SOURCE:TARGET[:MODE]"}, 0, 64},
                              "{id} is replaced. A volume with {id} in its name goes with its conversation's files.");
  key.operator()<&D::environment>("runtime.docker.environment",
                                  MapOf<Text>{{1, 128, "of A-Za-z0-9_", is_variable_name}, {0, 32'768}, 256},
                                  "{port} and {id} are replaced. The agent's commands can read it: no secrets here.");
  key.operator()<&D::user>("runtime.docker.user", Text{0, 128}, "Empty: the image's.");
  key.operator()<&D::memory_bytes>("runtime.docker.memory_bytes_max", OrZero{16_MiB, 64 * 1_TiB},
                                   "Of a container, times the start's resource factor.");
  key.operator()<&D::cpus>("runtime.docker.cpus_max", Cpus{}, "Of a container, times the start's resource factor.");
  key.operator()<&D::pids_max>("runtime.docker.pids_max", Count{0, 4'194'304}, "Processes of a container; 0: no limit.");
  key.operator()<&D::output_bytes_max>("runtime.docker.output_bytes_max", Bytes{64_KiB, 1_GiB},
                                       "What the engine keeps of one container's output.");
  key.operator()<&D::runtimes_max>("runtime.docker.runtimes_max", Count{1, 100'000},
                                   "Containers that run at once; beyond it 503.");
  key.operator()<&D::pull>(
      "runtime.docker.pull",
      Choice<D::Pull, 3>{{{{"missing", D::Pull::missing}, {"always", D::Pull::always}, {"never", D::Pull::never}}}},
      "When an image is fetched.");
  key.operator()<&D::registry_auth_file>(
      "runtime.docker.registry_auth_file", Path{0},
      "JSON with username, password and serveraddress, sent for images of that server only; empty: none is needed.");
  key.operator()<&D::stop_grace>("runtime.docker.stop_grace", Duration{0ms, 10min}, "From SIGTERM to SIGKILL.");
  key.operator()<&D::call_time_max>("runtime.docker.timeout", Duration{100ms, 10min}, "Each call of the engine.");
  key.operator()<&D::pull_time_max>("runtime.docker.pull_timeout", Duration{1s, 24h}, "To fetch an image.");
}

void add_remote(std::vector<Key<Settings>>& keys) {
  using R = runtime::RemoteSettings;
  auto const key = below<&Settings::remote>(keys);
  key.operator()<&R::url>("runtime.remote.url", Text{1, 500, "http:// or https:// URL without query", is_base_url},
                          "The remote runtime API.");
  key.operator()<&R::api_key_file>(
      "runtime.remote.api_key_file", secret_path,
      "File with the API's key, needed for this provider. All runtimes of that key are this installation's.");
  key.operator()<&R::image>("runtime.remote.image", Text{0, 512},
                            "Empty: each start must name one. Without a registry it is one of the API's own.");
  key.operator()<&R::command>("runtime.remote.command", ListOf<Text>{{1, 4096, "argument"}, 0, 100},
                              "What is run. Empty: as the API says.");
  key.operator()<&R::working_dir>("runtime.remote.working_dir", Text{0, 4096}, "Of the command. Empty: as the API says.");
  key.operator()<&R::environment>("runtime.remote.environment",
                                  MapOf<Text>{{1, 128, "of A-Za-z0-9_", is_variable_name}, {0, 32'768}, 256},
                                  "The agent's commands can read it: no secrets here.");
  key.operator()<&R::resource_factor>("runtime.remote.resource_factor", ResourceFactor{},
                                      "Times what the API gives, times the start's; at most 8.");
  key.operator()<&R::runtime_class>("runtime.remote.runtime_class", Text{0, 128},
                                    "Of the pod, \"sysbox-runc\" for one. Empty: as the API says.");
  Count const numeric_id{0, 4'294'967'295};
  key.operator()<&R::run_as_user>("runtime.remote.run_as_user", numeric_id, "0: as the API says.");
  key.operator()<&R::run_as_group>("runtime.remote.run_as_group", numeric_id, "0: as the API says.");
  key.operator()<&R::fs_group>("runtime.remote.fs_group", numeric_id, "Of the pod's files. 0: as the API says.");
  key.operator()<&R::image_pull_policy>(
      "runtime.remote.image_pull_policy",
      Text{0, 32, "one of \"Always\", \"IfNotPresent\", \"Never\", or empty", is_pull_policy}, "Empty: as the API says.");
  key.operator()<&R::call_time_max>("runtime.remote.timeout", Duration{100ms, 1h}, "Each call of the API.");
  key.operator()<&R::ready_pause>("runtime.remote.ready_pause", Duration{100ms, 1min},
                                  "Between two looks whether a runtime is ready.");
  key.operator()<&R::list_pause>("runtime.remote.list_pause", Duration{1s, 1h},
                                 "Between two looks for runtimes that ended.");
  key.operator()<&R::rate_limit_tries_max>("runtime.remote.rate_limit_tries", Count{1, 100},
                                           "So many times is a call made that is answered 429.");
  key.operator()<&R::rate_limit_pause_min>("runtime.remote.rate_limit_pause_min", Duration{10ms, 10min},
                                           "Before its second try; doubles with each further one.");
  key.operator()<&R::rate_limit_pause_max>("runtime.remote.rate_limit_pause_max", Duration{10ms, 1h},
                                           "Where those pauses stop growing.");
}

void add_process(std::vector<Key<Settings>>& keys) {
  constexpr auto p = &Settings::process;
  constexpr auto limits = &runtime::ProcessSettings::limits;
  using runtime::ProcessSettings;
  using runtime::ResourceLimits;
  auto const resource = [&keys]<auto Member>(std::string_view name, auto spec, std::string_view doc) {
    add<p, limits, Member>(keys, name, OrUnset<decltype(spec)>{spec}, Reload::restart, doc);
  };
  add<p, &ProcessSettings::command>(
      keys, "runtime.process.command", ListOf<Text>{{1, 4096, "argument"}, 1, 100}, Reload::restart,
      "What a new conversation's server is started with; {port}, {id} and {workspace} are replaced. "
      "A program without a slash is looked for beside the gateway's own, then in PATH.");
  add<p, &ProcessSettings::environment>(
      keys, "runtime.process.environment", MapOf<Text>{{1, 128, "of A-Za-z0-9_", is_variable_name}, {0, 32'768}, 256},
      Reload::restart, "Besides PATH, HOME, LANG and SESSION_API_KEY. The agent's commands can read it: no secrets here.");
  add<p, &ProcessSettings::workspace_dir>(keys, "runtime.process.workspace_dir", Path{1}, Reload::restart,
                                          "Holds one folder for each conversation: its workspace and the server's output.");
  add<p, &ProcessSettings::runtimes_max>(keys, "runtime.process.runtimes_max", Count{1, 100'000}, Reload::restart,
                                         "Servers that run at once; beyond it 503.");
  add<p, &ProcessSettings::output_bytes_max>(keys, "runtime.process.output_bytes_max", Bytes{64_KiB, 1_GiB}, Reload::restart,
                                             "What is kept of one server's output.");
  add<p, &ProcessSettings::stop_grace>(keys, "runtime.process.stop_grace", Duration{0ms, 10min}, Reload::restart,
                                       "From SIGTERM to SIGKILL.");
  add<p, &ProcessSettings::cgroup>(
      keys, "runtime.process.cgroup", FlagOf<runtime::Grouping>{runtime::Grouping::off, runtime::Grouping::automatic},
      Reload::restart, "Whether each runtime is held in a control group, where this process may make some.");
  add<p, &ProcessSettings::memory_bytes>(keys, "runtime.process.memory_bytes_max", OrUnset<Bytes>{{16_MiB, 64 * 1_TiB}},
                                         Reload::restart, "Of all processes of a runtime, times its resource factor.");
  add<p, &ProcessSettings::cpus>(keys, "runtime.process.cpus_max", Cpus{}, Reload::restart,
                                 "Of all processes of a runtime, times its resource factor; needs control groups.");
  add<p, &ProcessSettings::pids_max>(keys, "runtime.process.pids_max", OrUnset<Count>{{1, 4'194'304}}, Reload::restart,
                                     "Processes and threads of a runtime; needs control groups.");
  resource.operator()<&ResourceLimits::address_space_bytes>("runtime.process.address_space_bytes_max", Bytes{16_MiB, 1_TiB},
                                                            "Memory that each of its processes may map (RLIMIT_AS).");
  resource.operator()<&ResourceLimits::open_files>("runtime.process.open_files_max", Count{16, 1'048'576},
                                                   "Open files of each of its processes (RLIMIT_NOFILE).");
  resource.operator()<&ResourceLimits::processes>("runtime.process.processes_max", Count{1, 4'194'304},
                                                  "Processes of its user, as the kernel counts them (RLIMIT_NPROC).");
  resource.operator()<&ResourceLimits::cpu_seconds>("runtime.process.cpu_seconds_max", Count{1, 31'536'000},
                                                    "CPU seconds of each of its processes (RLIMIT_CPU).");
  resource.operator()<&ResourceLimits::file_bytes>("runtime.process.file_bytes_max", Bytes{1_MiB, 1_TiB},
                                                   "The largest file that it may write (RLIMIT_FSIZE).");
}

void add_store(std::vector<Key<Settings>>& keys) {
  add<&Settings::store_url>(
      keys, "store.url", Text{1, 4096, R"("sqlite:PATH", "sqlite::memory:" or "postgresql://…")", is_store_url},
      Reload::restart,
      "Where conversations, users, API keys and automations are kept: one file of SQLite, with its log beside it, which "
      "gateways of one machine may share; or a PostgreSQL database (a URL as libpq takes it), which any gateways may. All "
      "have the same identity.secret. sqlite::memory: forgets.");
  add<&Settings::store_options, &store::OpenOptions::connections>(
      keys, "store.connections", Count{1, 64}, Reload::restart,
      "Connections of a gateway that read from a PostgreSQL server; one more writes, and one listens.");
}

void add_limits(std::vector<Key<Settings>>& keys) {
  auto const limit = [&keys]<auto Member>(std::string_view name, auto spec, std::string_view doc,
                                          Reload reload = Reload::yes) {
    add<&Settings::limits, Member>(keys, name, spec, reload, doc);
  };
  limit.operator()<&Limits::connections_per_core_max>(
      "limits.connections_per_core_max", Count{1, 1'000'000},
      "Client connections of one proxy thread, tunnels included; beyond it 503.");
  limit.operator()<&Limits::request_head_bytes_max>("limits.request_head_bytes_max", Bytes{1_KiB, 1_MiB},
                                                    "A request's line and fields; beyond it 431.");
  limit.operator()<&Limits::request_fields_max>("limits.request_fields_max", Count{8, http::fields_capacity},
                                                "Fields of a request; beyond it 431.");
  limit.operator()<&Limits::response_head_bytes_max>("limits.response_head_bytes_max", Bytes{1_KiB, 1_MiB},
                                                     "A nested server's status line and fields; beyond it 502.");
  limit.operator()<&Limits::response_fields_max>("limits.response_fields_max", Count{8, http::fields_capacity},
                                                 "Fields of a nested server's answer; beyond it 502.");
  limit.operator()<&Limits::chunk_extension_bytes_max>("limits.chunk_extension_bytes_max", Bytes{0, 64_KiB},
                                                       "Chunk extensions of one message, together.");
  limit.operator()<&Limits::trailer_bytes_max>("limits.trailer_bytes_max", Bytes{0, 64_KiB},
                                               "Trailer fields of one message.");
  limit.operator()<&Limits::relay_buffer_bytes>(
      "limits.relay_buffer_bytes", Bytes{4_KiB, 1_MiB},
      "What is read at once, each way; a connection holds it only while bytes move.", Reload::restart);
  limit.operator()<&Limits::api_body_bytes_max>(
      "limits.api_body_bytes_max", Bytes{64_KiB, 1_GiB},
      "Body of a request to the gateway's own routes (tarballs are the largest; most take less); beyond it 413.");
  limit.operator()<&Limits::own_bodies_bytes_max>(
      "limits.own_bodies_bytes_max", Bytes{1_MiB, 64_GiB},
      "Bodies of requests to the gateway's own routes that are held at once, whoever sends them; beyond it 503.");
  limit.operator()<&Limits::callback_body_bytes_max>(
      "limits.callback_body_bytes_max", Bytes{1_KiB, 1_MiB},
      "Body of a request that carries a run's token instead of an API key; beyond it 413.");
  limit.operator()<&Limits::webhook_body_bytes_max>("limits.webhook_body_bytes_max", Bytes{64_KiB, 64_MiB},
                                                    "What a nested server pushes at once, with its key; beyond it 413.");
  limit.operator()<&Limits::alias_answer_bytes_max>(
      "limits.alias_answer_bytes_max", Bytes{1_KiB, 16_MiB},
      "How much of an answer is read for the conversation id that it hands out.");
  limit.operator()<&Limits::aliases_per_runtime_max>("limits.aliases_per_runtime_max", Count{1, 1'000'000},
                                                     "Further conversation ids of one runtime.");
  limit.operator()<&Limits::tunnel_backlog_bytes_max>("limits.tunnel_backlog_bytes_max", Bytes{64_KiB, 256_MiB},
                                                      "What one websocket client has not read yet; beyond it close 1013.");
  limit.operator()<&Limits::first_frame_bytes_max>("limits.first_frame_bytes_max", Bytes{1_KiB, 1_MiB},
                                                   "The first text frame that names a session key.");
  limit.operator()<&Limits::upstream_connections_per_runtime_max>(
      "limits.upstream_connections_per_runtime_max", Count{1, 100'000},
      "Connections of one proxy thread to one nested server; beyond it 503.");
  limit.operator()<&Limits::upstream_idle_connections_per_runtime_max>("limits.upstream_idle_connections_per_runtime_max",
                                                                       Count{0, 10'000}, "Of these, kept open while idle.");
  limit.operator()<&Limits::upgrades_per_key_per_second_max>(
      "limits.upgrades_per_key_per_second_max", Count{1, 1'000'000},
      "Websocket upgrades a second and proxy thread with one session key, or by one API key to one conversation; before a "
      "key is known, by one client address to one conversation. Beyond it 503.");
  limit.operator()<&Limits::upgrades_per_address_per_second_max>(
      "limits.upgrades_per_address_per_second_max", Count{1, 1'000'000},
      "Websocket upgrades a second and proxy thread by one client address that show no key. Beyond it 503.");
  limit.operator()<&Limits::socket_io_sessions_per_core_max>("limits.socket_io_sessions_per_core_max", Count{1, 10'000'000},
                                                             "Socket.IO sessions that one proxy thread remembers.");
  limit.operator()<&Limits::waking_requests_per_core_max>(
      "limits.waking_requests_per_core_max", Count{1, 1'000'000},
      "Requests that one proxy thread holds until their conversation runs; beyond it 503.");
  limit.operator()<&Limits::access_log_backlog_bytes_max>(
      "limits.access_log_backlog_bytes_max", Bytes{1_MiB, 1_GiB},
      "Access-log lines not written yet; beyond it they are dropped and counted.", Reload::restart);
}

void add_timeouts(std::vector<Key<Settings>>& keys) {
  auto const timeout = [&keys]<auto Member>(std::string_view name, Duration spec, std::string_view doc) {
    add<&Settings::timeouts, Member>(keys, name, spec, Reload::yes, doc);
  };
  timeout.operator()<&Timeouts::head>("timeouts.head", {10ms, 10min}, "From the first byte of a request's head to its end.");
  timeout.operator()<&Timeouts::keep_alive>("timeouts.keep_alive", {10ms, 1h}, "Between two requests on one connection.");
  timeout.operator()<&Timeouts::body_progress>("timeouts.body_progress", {10ms, 1h},
                                               "Without a byte of a body moved, either way.");
  timeout.operator()<&Timeouts::connect>("timeouts.connect", {10ms, 1min},
                                         "To a nested server; clients give up a websocket handshake after 10 s.");
  timeout.operator()<&Timeouts::first_byte>(
      "timeouts.first_byte", {10ms, 24h}, "From a request sent to the nested server's answer: an agent may think for long.");
  timeout.operator()<&Timeouts::stream_idle>("timeouts.stream_idle", {10ms, 24h, Zero::off},
                                             "A streaming answer (SSE) without a byte.");
  timeout.operator()<&Timeouts::tunnel_idle>("timeouts.tunnel_idle", {10ms, 24h, Zero::off},
                                             "A websocket without a frame; pings find the dead ones anyway.");
  timeout.operator()<&Timeouts::tunnel_ping>("timeouts.tunnel_ping", {10ms, 1h},
                                             "How often the gateway pings websocket clients.");
  timeout.operator()<&Timeouts::tunnel_pong>("timeouts.tunnel_pong", {10ms, 10min},
                                             "Without any byte after a ping: the client is dead.");
  timeout.operator()<&Timeouts::first_frame>("timeouts.first_frame", {10ms, 1min},
                                             "For the first text frame that names a session key.");
  timeout.operator()<&Timeouts::tls_handshake>("timeouts.tls_handshake", {10ms, 1min},
                                               "From a TLS client's connect to the handshake's end.");
  timeout.operator()<&Timeouts::wake>(
      "timeouts.wake", {10ms, 10min},
      "How long a user's act for a conversation that sleeps is held until that runs; then 503.");
  timeout.operator()<&Timeouts::upstream_idle>(
      "timeouts.upstream_idle", {10ms, 4900ms},
      "How long an idle connection to a nested server is kept; its own limit is 5 s.");
  timeout.operator()<&Timeouts::drain_grace>("timeouts.drain_grace", {0ms, 1h}, "After SIGTERM: what runs may finish.");
  timeout.operator()<&Timeouts::sweep>("timeouts.sweep", {10ms, 5s},
                                       "How often a proxy thread looks at its deadlines: their precision.");
}

void add_wake(std::vector<Key<Settings>>& keys) {
  constexpr auto w = &Settings::wake;
  using proxy::WakeRules;
  ListOf<Text> const prefixes{{1, 4096, "path prefix from /, without / at its end and without %", is_path_prefix}, 0, 1'000};
  add<w, &WakeRules::requests>(keys, "wake.requests", Flag{}, Reload::yes,
                               "Whether a request that does not only read (GET, HEAD, OPTIONS) is a user's act.");
  add<w, &WakeRules::websockets>(keys, "wake.websockets", Flag{}, Reload::yes,
                                 "Whether a new websocket is one, unless it says by its URL that it comes back.");
  add<w, &WakeRules::websockets_without_origin>(
      keys, "wake.websockets_without_origin", Flag{}, Reload::yes,
      "Whether also one without the field Origin, which every browser sends: the SDK's comes back by itself whenever it "
      "was closed, so that it would wake what was put to sleep.");
  add<w, &WakeRules::never>(keys, "wake.never", prefixes, Reload::yes,
                            "What is below these paths, as the nested server sees them, is no act, whatever the rest says.");
  add<w, &WakeRules::always>(keys, "wake.always", prefixes, Reload::yes,
                             "What is below these paths is one, reads too, but for health probes.");
}

void add_log(std::vector<Key<Settings>>& keys) {
  Choice<LogLevel, 4> const levels{
      {{{"debug", LogLevel::debug}, {"info", LogLevel::info}, {"warn", LogLevel::warn}, {"error", LogLevel::error}}}};
  add<&Settings::log, &LogSettings::level>(keys, "log.level", levels, Reload::yes,
                                           "The least severe line that is logged to stderr.");
  add<&Settings::log, &LogSettings::access>(keys, "log.access", AccessTarget{}, Reload::restart,
                                            "One JSON line a request; a file is opened again on SIGHUP.");
}

}  // namespace

std::vector<Key<Settings>> const& settings_keys() {
  static std::vector<Key<Settings>> const keys = [] {
    std::vector<Key<Settings>> all;
    add_listen(all);
    add_tls(all);
    add_identity(all);
    add_routing(all);
    add_conversations(all);
    add_credentials(all);
    add_provider(all);
    add_docker(all);
    add_remote(all);
    add_cloud(all);
    add_process(all);
    add_store(all);
    add_automation(all);
    add_limits(all);
    add_timeouts(all);
    add_wake(all);
    add_log(all);
    return all;
  }();
  return keys;
}

std::vector<Key<identity::ApiKeyEntry>> const& ApiKeyTable::keys() {
  static auto const all = [] {
    using identity::Principal;
    using identity::Role;
    constexpr auto principal = &Element::principal;
    Choice<Role, 3> const roles{{{{"admin", Role::admin}, {"user", Role::user}, {"automation", Role::automation}}}};
    std::vector<Key<Element>> k;
    add_required<principal, &Principal::name>(k, "name", Text{1, 64}, Reload::yes, "Unique; what logs call the key.");
    add<principal, &Principal::role>(k, "role", roles, Reload::yes,
                                     "admin: everything; user: what its owner owns; automation: the automation API.");
    add<principal, &Principal::owner>(k, "owner", Text{0, 128}, Reload::yes,
                                      "Whose key it is; may be empty for an admin key.");
    add_required<&Element::hash>(k, "hash", ApiKeyHash{}, Reload::yes, "From `nestgate apikey hash`.");
    return k;
  }();
  return all;
}

std::vector<Key<TlsCertificate>> const& CertificateTable::keys() {
  static auto const all = [] {
    std::vector<Key<Element>> k;
    add<&Element::names>(k, "names",
                         ListOf<Text>{{1, 253, "lower-case domain name, *.NAME too", is_certificate_name}, 0, 100},
                         Reload::yes, "Server names (SNI) that get this certificate; the first table's is for all others.");
    add_required<&Element::cert_file>(k, "cert_file", Path{1}, Reload::yes,
                                      "PEM, the server's certificate first, then the chain.");
    add_required<&Element::key_file>(k, "key_file", Path{1}, Reload::yes, "PEM, not encrypted.");
    return k;
  }();
  return all;
}

std::vector<Key<StaticRuntimeSettings>> const& StaticRuntimeTable::keys() {
  static auto const all = [] {
    std::vector<Key<Element>> k;
    add_required<&Element::id>(k, "id", Text{1, 128, "conversation id, of A-Za-z0-9._-"}, Reload::yes,
                               "The conversation's id.");
    add_required<&Element::url>(
        k, "url", Text{1, 300, "http://HOST[:PORT] or https://HOST[:PORT]", is_public_url}, Reload::yes,
        "Where its server listens. Over https its certificate must be for HOST, which Host then says, and "
        "its further ports are reached over https too.");
    add<&Element::session_api_key_file>(k, "session_api_key_file", secret_path, Reload::yes,
                                        "File with the server's session key; empty: the derived key.");
    add<&Element::ports>(k, "ports", MapOf<Count>{{1, 32, "of a-z0-9_-", is_port_name}, {1, 65'535}, 64}, Reload::yes,
                         "Further ports, reachable by {port}-{id}.{domain} and /runtime/{port}/.");
    return k;
  }();
  return all;
}

std::vector<Key<api::SandboxSpec>> const& SandboxSpecTable::keys() {
  static auto const all = [] {
    std::vector<Key<Element>> k;
    auto const key = [&k]<auto Member>(std::string_view name, auto spec, std::string_view doc) {
      add<Member>(k, name, spec, Reload::restart, doc);
    };
    using S = Element;
    add_required<&S::id>(k, "id", Text{1, 128}, Reload::restart, "As `sandbox_spec_id` names it; the first is the default.");
    key.operator()<&S::image>("image", Text{0, 512}, "Empty: as the provider's settings say, as in all below.");
    key.operator()<&S::command>("command", ListOf<Text>{{1, 4096, "argument"}, 0, 100}, "What the sandbox is started with.");
    key.operator()<&S::working_dir>("working_dir", Text{0, 4096}, "Where.");
    key.operator()<&S::environment>("environment",
                                    MapOf<Text>{{1, 128, "of A-Za-z0-9_", is_variable_name}, {0, 32'768}, 256},
                                    "Besides the provider's. The agent's commands can read it: no secrets here.");
    key.operator()<&S::resource_factor>("resource_factor", ResourceFactor{}, "Times the provider's limits.");
    return k;
  }();
  return all;
}

std::string environment_name(std::string_view key) {
  std::string name = "NESTGATE_";
  for (char const c : key) name.push_back(c == '.' ? '_' : c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c);
  return name;
}

}  // namespace nestgate::app
