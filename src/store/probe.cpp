#include "probe.hpp"

namespace nestgate::store {
namespace {

constexpr Place place{"probe", "sealed", "1"};
constexpr std::string_view text = "nestgate";

// By which secret it is sealed, as a sealed value's beginning says it; nothing: there is none yet.
Task<std::optional<std::string>> checked(Sql& sql, Sealer const& sealer) {
  auto row = co_await sql.query("SELECT sealed FROM probe");
  if (!row.step()) co_return std::nullopt;
  auto const sealed = row.blob().bytes.value_or("");
  auto const opened = sealer.open(place, sealed);
  if (!opened || !opened->equals(text))
    give_up(
        "it is sealed with another secret than those of the settings; gateways on one store need the same identity.secret");
  co_return sealed.substr(0, Sealer::header_bytes);
}

}  // namespace

Task<> check_probe(Sql& sql, Sealer const& sealer) { co_await checked(sql, sealer); }

Task<> renew_probe(Sql& sql, Sealer const& sealer) {
  Blob const fresh{sealer.seal(place, text)};
  auto const known = co_await checked(sql, sealer);
  // As nearly always: opening the store writes nothing.
  if (known == fresh.bytes->substr(0, Sealer::header_bytes)) co_return;
  co_await sql.query("INSERT INTO probe (id, sealed) VALUES (1, ?1) ON CONFLICT (id) DO UPDATE SET sealed = excluded.sealed",
                     fresh);
}

}  // namespace nestgate::store
