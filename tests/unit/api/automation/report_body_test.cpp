#include "api/automation/report_body.hpp"

#include <gtest/gtest.h>

namespace nestgate::api {
namespace {

struct Read {
  automation::Report report;
  std::string faults;  // "type last-step" each
};

Read read(std::string_view json) {
  Faults faults;
  JsonBody const body("application/json", json);
  Read out{read_report(Model(body_value(faults, body)), store::Time{}), {}};
  for (auto const& fault : faults.all()) out.faults += fault.type + " " + std::get<std::string>(fault.loc.back()) + "\n";
  return out;
}

std::string error_text(std::string_view error) {
  return read(R"({"status":"FAILED","error":)" + std::string(error) + "}").report.error_detail;
}

std::string detail_member(std::string_view error, std::string_view name) {
  auto const detail = read(R"({"status":"FAILED","error":)" + std::string(error) + "}").report.status_detail_json;
  simdjson::dom::parser parser;
  simdjson::dom::element member;
  if (parser.parse(detail)[name].get(member)) return "(none)";
  return simdjson::minify(member);
}

TEST(Report, IsThatOfTheSdk) {
  auto const plain = read(R"({"status":"COMPLETED","run_id":"r","conversation_id":"c","cost":"0.5","error":"ignored"})");
  EXPECT_EQ(plain.faults, "");
  EXPECT_EQ(plain.report.status, store::RunStatus::completed);
  EXPECT_EQ(plain.report.conversation_id, "c");
  EXPECT_EQ(plain.report.cost, 0.5);
  EXPECT_EQ(plain.report.error_detail + plain.report.status_detail_json, "");
  EXPECT_EQ(read(R"({"status":"FAILED","blocking_factor":{"a":1},"task_outcome":null})").report.additions_json,
            R"({"blocking_factor":{"a":1}})");
}

TEST(Report, IsRefusedAsTheContractSays) {
  EXPECT_EQ(read("{}").faults, "missing status\n");
  EXPECT_EQ(read(R"({"status":"completed"})").faults, "literal_error status\n");
  EXPECT_EQ(read(R"({"status":null})").faults, "literal_error status\n");
  EXPECT_EQ(read(R"({"status":"COMPLETED","x":null})").faults, "extra_forbidden x\n");
  EXPECT_EQ(read(R"({"status":"COMPLETED","cost":"much"})").faults, "float_parsing cost\n");
  EXPECT_EQ(read(R"({"status":"FAILED","error":5})").faults, "string_type str\ndict_type dict[str,any]\n");
}

TEST(Report, ShowsAnErrorAsText) {
  EXPECT_EQ(error_text("\"it broke\""), "it broke");
  EXPECT_EQ(error_text("null"), "");
  EXPECT_EQ(
      error_text(R"({"source":"environment","code":"RuntimeError","detail":"boom","classification":{"kind":"unknown"}})"),
      "RuntimeError: boom [kind=unknown, source=environment]");
  EXPECT_EQ(error_text(R"({"code":"X","message":"y"})"), "X: y");
  EXPECT_EQ(error_text(R"({"message":"y"})"), "y");
  EXPECT_EQ(error_text("{}"), "Structured callback error");
  EXPECT_EQ(error_text(R"({"detail":"y","source":"agent","extra":1})"), "y [source=agent]");
  EXPECT_EQ(error_text(R"({"detail":"y","classification":{"kind":"quota"},"extra":1})"), "y [kind=quota]");
}

TEST(Report, CutsALongErrorAtACharacter) {
  std::string const text(8191, 'x');
  EXPECT_EQ(error_text("\"" + text + "é and more\""), text);
}

TEST(Report, CutsEachTextOfAnError) {
  std::string const text(300, 'x');
  auto const error = R"({"code":")" + text + R"(","source":")" + text + R"(","classification":{"kind":")" + text +
                     R"(","user_action":")" + std::string(1100, 'x') + R"(","error_id":")" + text + R"("},"extra":1})";
  for (auto const* const word : {"code", "kind", "source", "error_id"})
    EXPECT_EQ(detail_member(error, word).size(), 255U + 2) << word;
  EXPECT_EQ(detail_member(error, "user_action").size(), 1024U + 2);
  EXPECT_EQ(error_text(error).size(), std::string_view(" [kind=, source=]").size() + 3 * 255);
}

TEST(Report, RefusesAnObjectThatIsTooLongForAList) {
  for (std::string const name : {"blocking_factor", "task_outcome"}) {
    auto const told = [&](std::size_t bytes) {
      auto const object = R"({"a":")" + std::string(bytes - std::string_view(R"({"a":""})").size(), 'x') + "\"}";
      return read(R"({"status":"COMPLETED",")" + name + "\":" + object + "}").faults;
    };
    EXPECT_EQ(told(8 * 1024), "");
    EXPECT_EQ(told(8 * 1024 + 1), "value_error " + name + "\n");
  }
}

constexpr std::string_view typed =
    R"({"kind":"ConversationErrorEvent","source":"environment","parent_id":null,"code":"RateLimitError","detail":"slow down","classification":)";

TEST(Report, KeepsTheClassificationOfATypedError) {
  auto const error = std::string(typed) + R"({"kind":"rate_limit","retryable":true,"user_action":"Wait","error_id":"e-1"}})";
  EXPECT_EQ(detail_member(error, "kind"), "\"rate_limit\"");
  EXPECT_EQ(detail_member(error, "transient"), "true");
  EXPECT_EQ(detail_member(error, "code"), "\"RateLimitError\"");
  EXPECT_EQ(detail_member(error, "source"), "\"environment\"");
  EXPECT_EQ(detail_member(error, "user_action"), "\"Wait\"");
  EXPECT_EQ(detail_member(error, "error_id"), "\"e-1\"");
  EXPECT_EQ(detail_member(error, "formatted_detail"), "\"RateLimitError: slow down [kind=rate_limit, source=environment]\"");
}

TEST(Report, ClassifiesATypedErrorThatIsNotByItsWords) {
  auto const error = std::string(typed) + "null}";
  EXPECT_EQ(detail_member(error, "kind"), "\"rate_limit\"");
  EXPECT_EQ(detail_member(error, "transient"), "true");
  auto const kind_of = [](std::string_view code) {
    return detail_member(R"({"source":"agent","code":")" + std::string(code) + R"(","detail":"x"})", "kind");
  };
  EXPECT_EQ(kind_of("AuthenticationError"), "\"auth\"");
  EXPECT_EQ(kind_of("MaxIterationsReached"), "\"agent_action\"");
  EXPECT_EQ(kind_of("ServiceUnavailableError"), "\"transient\"");
  EXPECT_EQ(kind_of("Whatever"), "\"unknown\"");
}

TEST(Report, TakesAnUntypedErrorForOneOfTheScript) {
  EXPECT_EQ(detail_member(R"({"detail":"y","extra":1})", "kind"), "\"execution_error\"");
  EXPECT_EQ(detail_member(R"({"detail":"y","extra":1})", "source"), "\"sdk_callback\"");
  EXPECT_EQ(detail_member(R"({"detail":"y","source":"hook","extra":1})", "source"), "\"hook\"");
  EXPECT_EQ(detail_member(R"({"detail":"y","classification":{"kind":"quota","retryable":true},"extra":1})", "transient"),
            "false");
  EXPECT_EQ(detail_member("\"it broke\"", "phase"), "\"callback\"");
  EXPECT_EQ(detail_member("\"it broke\"", "source"), "\"sdk_callback\"");
}

TEST(Phase, IsOneLine) {
  Faults faults;
  JsonBody const body("application/json", R"({"phase":"  cloning\n\tthe  repository\u0007 "})");
  EXPECT_EQ(read_phase(Model(body_value(faults, body))), "cloning the repository");
  EXPECT_TRUE(faults.empty());
  JsonBody const blank("application/json", R"({"phase":" \n "})");
  read_phase(Model(body_value(faults, blank)));
  EXPECT_EQ(faults.all().at(0).type, "string_too_short");
}

}  // namespace
}  // namespace nestgate::api
