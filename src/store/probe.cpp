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
  Transaction transaction(database, Transaction::Kind::write);
  check_probe(database, sealer);
  database.run("INSERT OR REPLACE INTO probe (id, sealed) VALUES (1, ?1)", Blob{sealer.seal(place, text)});
  transaction.commit();
}

}  // namespace nestgate::store
