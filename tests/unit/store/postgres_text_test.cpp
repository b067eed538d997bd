#include "store/postgres_text.hpp"

#include <gtest/gtest.h>

namespace nestgate::store {
namespace {

TEST(PostgresText, WritesParametersAsTheServerReadsThem) {
  EXPECT_EQ(with_dollars("SELECT a FROM b WHERE c = ?1 AND d > ?12"), "SELECT a FROM b WHERE c = $1 AND d > $12");
  EXPECT_EQ(with_dollars("?1"), "$1");
  EXPECT_EQ(with_dollars(""), "");
}

TEST(PostgresText, LeavesQuotedTextAndCommentsAsTheyAre) {
  EXPECT_EQ(with_dollars("SELECT '?1', \"?2\", ?3"), "SELECT '?1', \"?2\", $3");
  EXPECT_EQ(with_dollars("SELECT 'it''s ?1' -- ?2\n, ?3 /* ?4 */, ?5"), "SELECT 'it''s ?1' -- ?2\n, $3 /* ?4 */, $5");
  EXPECT_EQ(with_dollars("SELECT a ? b, '?1"), "SELECT a ? b, '?1");
  EXPECT_EQ(with_dollars("SELECT ?1 -- ?2"), "SELECT $1 -- ?2");
}

TEST(PostgresText, SaysWhichRowsAStatementLocks) {
  EXPECT_EQ(with_dollars("SELECT a FROM b /*for update*/"), "SELECT a FROM b FOR UPDATE");
  EXPECT_EQ(with_dollars("(SELECT a FROM b LIMIT ?1 /*skip locked*/)"), "(SELECT a FROM b LIMIT $1 FOR UPDATE SKIP LOCKED)");
}

TEST(PostgresText, TellsWhatARefusalMeans) {
  EXPECT_EQ(refusal_of("23505", "ERROR"), Refusal::of_statement);
  EXPECT_EQ(refusal_of("55P03", "ERROR"), Refusal::of_statement);
  EXPECT_EQ(refusal_of("40001", "ERROR"), Refusal::of_moment);
  EXPECT_EQ(refusal_of("40P01", "ERROR"), Refusal::of_moment);
  EXPECT_EQ(refusal_of("57P01", "FATAL"), Refusal::of_connection);
  EXPECT_EQ(refusal_of("25P03", "FATAL"), Refusal::of_connection);
  EXPECT_EQ(refusal_of("", ""), Refusal::of_connection);
}

TEST(PostgresText, KnowsWhenTheServerRefusesForGood) {
  auto const refused = connect_fault_of("connection to server on socket \"/s/.s.PGSQL.5432\" failed: FATAL:  28P01\n");
  EXPECT_TRUE(refused.is_final);
  EXPECT_EQ(refused.sentence, "the server refuses the user or the password");
  EXPECT_TRUE(connect_fault_of("connection to server at \"h\" (1.2.3.4), port 5432 failed: FATAL:  3D000\n").is_final);
  EXPECT_TRUE(connect_fault_of("connection to … failed: fe_sendauth: no password supplied\n").is_final);
  auto const starting = connect_fault_of("connection to server at \"h\" failed: FATAL:  57P03\n");
  EXPECT_FALSE(starting.is_final);
  EXPECT_EQ(starting.sentence, "the server takes no connection now (57P03)");
}

TEST(PostgresText, NamesNeitherHostNorUser) {
  auto const refused = connect_fault_of(
      "connection to server at \"db.example\" (10.0.0.7), port 5432 failed: Connection refused\n\tIs the server running on "
      "that host and accepting TCP/IP connections?\n");
  EXPECT_FALSE(refused.is_final);
  EXPECT_EQ(refused.sentence, "the server cannot be reached: Connection refused");
  auto const odd = connect_fault_of("server certificate for \"db.example\" does not match host name \"10.0.0.7\"");
  EXPECT_EQ(odd.sentence, "the server cannot be reached: server certificate for … does not match host name …");
}

}  // namespace
}  // namespace nestgate::store
