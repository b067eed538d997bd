#include "api/automation/kv_bodies.hpp"

#include <gtest/gtest.h>

#include "api/automation/json_value.hpp"
#include "api/automation/kv_token.hpp"
#include "nestgate/identity/jwt.hpp"

namespace nestgate::api {
namespace {

using What = KvOperation::What;

JsonBody body(std::string_view json) { return JsonBody("application/json", json); }

std::string types_of(Faults const& faults) {
  std::string out;
  for (auto const& fault : faults.all()) out += (out.empty() ? "" : " ") + fault.type;
  return out;
}

TEST(KvBodies, OfABatchAreReadByTheirOperation) {
  Faults faults;
  auto const batch = read_kv_batch(faults, body(R"({"if_version":"3","operations":[
      {"op":"set","key":"a","value":null,"nx":"yes"},{"op":"incr","key":"b","by":-2},{"op":"decr","key":"b"},
      {"op":"lpush","key":"c","value":[1.0]},{"op":"lpop","key":"c","more":1},{"op":"patch","key":"d","path":"x","value":{}}]})"));
  ASSERT_EQ(types_of(faults), "");
  EXPECT_EQ(batch.if_version, 3);
  ASSERT_EQ(batch.operations.size(), 6U);
  EXPECT_TRUE(batch.operations[0].only_new);
  EXPECT_TRUE(batch.operations[0].value.is_null());
  EXPECT_EQ(batch.operations[1].by, -2);
  EXPECT_EQ(batch.operations[2].by, 1);
  EXPECT_EQ(compact_json(batch.operations[3].value), "[1.0]");
  EXPECT_EQ(batch.operations[4].what, What::pop_left);
  EXPECT_EQ(batch.operations[5].path, "x");
}

TEST(KvBodies, OfABatchAreRefusedWhereTheyLackSomething) {
  auto const told = [](std::string_view json) {
    Faults faults;
    read_kv_batch(faults, body(json));
    return types_of(faults);
  };
  EXPECT_EQ(told("{}"), "missing");
  EXPECT_EQ(told(R"({"operations":[]})"), "too_short");
  EXPECT_EQ(told(R"({"operations":[{"op":"set","key":"a"}]})"), "missing");
  EXPECT_EQ(told(R"({"operations":[{"op":"patch","key":"a","value":1}]})"), "missing");
  EXPECT_EQ(told(R"({"operations":[{"op":"get","key":"a","value":1}]})"), "literal_error");
  EXPECT_EQ(told(R"({"operations":[{"op":"set","key":"","value":1}]})"), "string_too_short");
  EXPECT_EQ(told(R"({"operations":[{"op":"set","key":"a","value":1,"nx":true,"xx":true}]})"), "value_error");
  std::string many = R"({"operations":[)";
  for (int i = 0; i < 101; ++i) many += std::string(i ? "," : "") + R"({"op":"incr","key":"a"})";
  EXPECT_EQ(told(many + "]}"), "too_long");
}

TEST(KvBodies, OfNumbersMayBeAbsent) {
  Faults faults;
  EXPECT_EQ(read_kv_by(faults, JsonBody("", "")), 1);
  EXPECT_EQ(read_kv_by(faults, body("null")), 1);
  EXPECT_EQ(read_kv_by(faults, body("{}")), 1);
  EXPECT_EQ(read_kv_by(faults, body(R"({"by":"7"})")), 7);
  EXPECT_TRUE(faults.empty());
  read_kv_by(faults, body(R"({"by":1.5})"));
  EXPECT_EQ(types_of(faults), "int_from_float");
}

TEST(KvBodies, TakeNoAmountBeyond64Bits) {
  for (auto const* by : {"\"9223372036854775808\"", "\"123456789012345678901234\"", "18446744073709551615"}) {
    Faults faults;
    read_kv_by(faults, body(std::string(R"({"by":)") + by + "}"));
    EXPECT_EQ(types_of(faults), "less_than_equal") << by;
  }
  Faults faults;
  read_kv_by(faults, body(R"({"by":"-9223372036854775809"})"));
  EXPECT_EQ(types_of(faults), "greater_than_equal");
}

TEST(KvBodies, OfValuesAreAnyJson) {
  for (auto const* json : {"null", "1", "1.0", "\"a\"", "[1,{\"b\":[]}]", "18446744073709551615"}) {
    Faults faults;
    EXPECT_EQ(compact_json(read_kv_value(faults, body(json))), json);
    EXPECT_TRUE(faults.empty());
  }
  Faults faults;
  read_kv_value(faults, JsonBody("application/json", ""));
  EXPECT_EQ(types_of(faults), "missing");
}

constexpr std::string_view id = "7d0c1f2e-6a0b-4c53-9f6e-0c6a5b1f2d3e";
std::chrono::system_clock::time_point const now{std::chrono::seconds(1'000'000)};

std::string told(std::string_view claims, std::string_view secret = "a secret") {
  auto const token = identity::make_jwt(Secret(std::string(secret)), claims);
  auto const read = read_kv_token(Secret("a secret"), token, now);
  return read ? read->automation_id : read.error().detail;
}

std::string claims(std::string_view automation_id, std::string_view more) {
  return R"({"automation_id":")" + std::string(automation_id) + "\"," + std::string(more) + "}";
}

TEST(KvToken, OpensTheDocumentThatItNamesUntilItsEnd) {
  EXPECT_EQ(told(claims(id, R"("iat":999999,"exp":1000001)")), id);
  EXPECT_EQ(told(claims("7D0C1F2E6A0B4C539F6E0C6A5B1F2D3E", R"("exp":1000001.5)")), id);
  EXPECT_EQ(told(claims(id, R"("exp":1000000)")), "Token has expired");
  EXPECT_EQ(told(claims(id, R"("iat":1000100,"exp":1000200)")), "Invalid token: The token is not yet valid (iat)");
  EXPECT_EQ(told(claims(id, R"("run_id":"x")")), "Invalid token: Token is missing the \"exp\" claim");
  EXPECT_EQ(told(claims("x", R"("exp":1000001)")), "Invalid automation_id format: badly formed hexadecimal UUID string");
  EXPECT_EQ(told(R"({"exp":1000001})"), "Token missing automation_id claim");
  EXPECT_EQ(told("[]"), "Invalid token: Invalid payload string");
  EXPECT_EQ(told(claims(id, R"("exp":1000001)"), "another"), "Invalid token: Signature verification failed");
}

TEST(KvToken, IsToldFromAnotherKey) {
  auto const read = read_kv_token(Secret("a secret"), Secret("an-api-key"), now);
  ASSERT_FALSE(read);
  EXPECT_FALSE(read.error().is_token);
  EXPECT_EQ(read.error().detail, "Invalid token: Not enough segments");
  EXPECT_TRUE(read_kv_token(Secret("a secret"), Secret("e30.e30.e30"), now).error().is_token);
}

}  // namespace
}  // namespace nestgate::api
