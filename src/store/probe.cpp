#include "probe.hpp"

namespace nestgate::store {
namespace {

constexpr Place place{"probe", "sealed", "1"};
constexpr std::string_view text = "nestgate";

}  // namespace

void check_probe(Database& database, Sealer const& sealer) {
  auto query = database.query("SELECT sealed FROM probe");
  if (!query.step()) return;
  auto const sealed = query.blob();
  auto const opened = sealer.open(place, sealed.bytes.value_or(""));
  if (opened && opened->equals(text)) return;
  give_up(
      "it is sealed with another secret than those of the settings; gateways on one store need the same identity.secret");
}

void renew_probe(Database& database, Sealer const& sealer) {
  auto const fresh = sealer.seal(place, text);
  auto const is_fresh = [&] {
    check_probe(database, sealer);
    auto query = database.query("SELECT 1 FROM probe WHERE substr(sealed, 1, ?1) = ?2", Sealer::header_bytes,
                                Blob{fresh.substr(0, Sealer::header_bytes)});
    return query.step();
  };
  if (is_fresh()) return;  // as nearly always: opening the store writes nothing
  Transaction transaction(database, Transaction::Kind::write);
  check_probe(database, sealer);
  database.run("INSERT OR REPLACE INTO probe (id, sealed) VALUES (1, ?1)", Blob{fresh});
  transaction.commit();
}

}  // namespace nestgate::store
