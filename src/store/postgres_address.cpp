#include "postgres_address.hpp"

#include <libpq-fe.h>

#include <algorithm>

#include "nestgate/net/task_group.hpp"
#include "nestgate/store/maintenance.hpp"
#include "nestgate/upstream/resolve.hpp"

namespace nestgate::store {
namespace {

struct FreeOptions {
  void operator()(PQconninfoOption* options) const noexcept { PQconninfoFree(options); }
};
using Options = std::unique_ptr<PQconninfoOption, FreeOptions>;

Options options_of(std::string_view url) {
  std::string const text(url);
  char* complaint = nullptr;  // repeats what it complains of
  Options options(PQconninfoParse(text.c_str(), &complaint));
  PQfreemem(complaint);
  return options;
}

std::string value_in(Options const& options, std::string_view keyword) {
  for (auto const* option = options.get(); option != nullptr && option->keyword != nullptr; ++option)
    if (option->keyword == keyword && option->val != nullptr) return option->val;
  return {};
}

std::vector<std::string> items_of(std::string_view list) {
  std::vector<std::string> items;
  for (;;) {
    auto const comma = list.find(',');
    items.emplace_back(list.substr(0, comma));
    if (comma == list.npos) return items;
    list.remove_prefix(comma + 1);
  }
}

bool is_name(std::string const& host) {
  if (host.empty() || host.front() == '/' || host.front() == '@') return false;
  error_code not_numeric;
  asio::ip::make_address(host, not_numeric);
  return bool(not_numeric);
}

// Lists of equal length, as libpq takes them.
class Places {
 public:
  void add(std::string const& host, std::string const& address, std::string const& port) {
    append(hosts_, host);
    append(addresses_, address);
    append(ports_, port);
    is_first_ = false;
  }
  PostgresParameters take() {
    return {{"host", std::move(hosts_)}, {"hostaddr", std::move(addresses_)}, {"port", std::move(ports_)}};
  }
  bool empty() const { return is_first_; }

 private:
  void append(std::string& list, std::string const& item) const {
    if (!is_first_) list += ',';
    list += item;
  }
  std::string hosts_, addresses_, ports_;
  bool is_first_ = true;
};

}  // namespace

bool is_postgres_url(std::string_view url) { return url.starts_with("postgres://") || url.starts_with("postgresql://"); }

Outcome<PostgresUrl> parse_postgres_url(std::string_view url) {
  constexpr std::string_view allowed =
      "store: the url is none that PostgreSQL takes; allowed: postgresql://USER@HOST/DATABASE";
  bool const has_end_inside = url.find('\0') != url.npos;
  if (!is_postgres_url(url) || has_end_inside || !options_of(url))
    return upstream::fail(FaultKind::bad_input, "store.open", std::string(allowed));
  return std::make_shared<Secret const>(std::string(url));
}

bool has_password(std::string_view url) { return is_postgres_url(url) && !value_in(options_of(url), "password").empty(); }

Task<PostgresParameters> places_of(PostgresUrl url, Deadline by) {
  auto const given = options_of(url->reveal());
  Options const defaults(PQconndefaults());
  auto const either = [&](std::string_view keyword) {
    auto value = value_in(given, keyword);
    return value.empty() ? value_in(defaults, keyword) : value;
  };
  auto const hosts = items_of(either("host"));
  auto const ports = items_of(either("port"));
  bool const is_looked_up = !either("hostaddr").empty() || std::none_of(hosts.begin(), hosts.end(), is_name);
  // libpq says what is wrong with lists that do not go together.
  if (is_looked_up || (ports.size() != 1 && ports.size() != hosts.size())) co_return PostgresParameters{};

  Places places;
  for (std::size_t i = 0; i < hosts.size(); ++i) {
    auto const& port = ports.size() == 1 ? ports.front() : ports[i];
    if (!is_name(hosts[i])) {
      bool const is_socket = hosts[i].empty() || hosts[i].front() == '/' || hosts[i].front() == '@';
      places.add(hosts[i], is_socket ? std::string() : hosts[i], port);
      continue;
    }
    auto found = co_await with_deadline(by, upstream::resolve(hosts[i], 0));
    if (!found) continue;  // another of the list may do
    for (auto const& endpoint : *found) places.add(hosts[i], endpoint.address().to_string(), port);
  }
  if (places.empty()) give_up("the name of the server cannot be looked up");
  co_return places.take();
}

}  // namespace nestgate::store
