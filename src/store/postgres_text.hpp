#pragma once

#include <string>
#include <string_view>

// What is said to PostgreSQL and by it, as text. Pure.
namespace nestgate::store {

// `statement` with its parameters ?1, ?2, … as $1, $2, …, and the row locks that it marks, /*for update*/ and
// /*skip locked*/, said; what is quoted and other comments stay.
std::string with_dollars(std::string_view statement);

// What a refused statement means to who asked for it.
enum class Refusal : std::uint8_t {
  of_statement,
  of_moment,      // two transactions were in each other's way: done again it may go well
  of_connection,  // the server ends it
};
Refusal refusal_of(std::string_view sqlstate, std::string_view severity);

// Why libpq could not connect.
struct ConnectFault {
  bool is_final = false;  // the server refuses us: again it will do the same
  std::string sentence;   // without host, user or password
};
// Of its message, in which the server's own part is a severity and an SQLSTATE.
ConnectFault connect_fault_of(std::string_view message);

}  // namespace nestgate::store
