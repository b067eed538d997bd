#include "api/automation/kv_document.hpp"

#include <gtest/gtest.h>

namespace nestgate::api {
namespace {

using event::Value;
using What = KvOperation::What;

Value json(std::string_view text) { return Value::parse(text).value(); }

KvOperation set(std::string key, std::string_view value) {
  KvOperation out;
  out.key = std::move(key);
  out.value = json(value);
  return out;
}

KvOperation of(What what, std::string key, std::string_view value = "null") {
  KvOperation out = set(std::move(key), value);
  out.what = what;
  return out;
}

KvOperation patch(std::string key, std::string path, std::string_view value) {
  KvOperation out = of(What::patch, std::move(key), value);
  out.path = std::move(path);
  return out;
}

// A document that calls are made on one after the other, as the store does.
struct Kept {
  store::KvDocument document;
  KvLimits limits;
  std::chrono::system_clock::time_point now{std::chrono::seconds(1'800'000'000)};

  KvAnswer keep(KvAnswer answer) {
    if (answer.decision.what == store::KvDecision::What::write) document = {answer.decision.json, true};
    if (answer.decision.what == store::KvDecision::What::remove) document = {};
    return answer;
  }
  KvAnswer change(KvOperation const& operation, std::optional<std::int64_t> if_version = std::nullopt) {
    return keep(change_kv(document, operation, {if_version, now, limits}));
  }
  KvAnswer batch(std::vector<KvOperation> const& operations, std::optional<std::int64_t> if_version = std::nullopt) {
    return keep(change_kv_batch(document, operations, {if_version, now, limits}));
  }
  std::string get(std::string_view key, std::string_view path = "") { return get_kv(document, key, path, false).body; }
};

TEST(Kv, KeepsAnyJsonValueAsItWas) {
  for (auto const* value :
       {"null", "0", "-7", "1.0", "1e+300", "true", R"j("ü\n")j", "[]", "{}", R"({"a":[1,{"b":null}]})"}) {
    Kept kept;
    auto const made = kept.change(set("k", value));
    EXPECT_EQ(made.status, 201U) << value;
    EXPECT_EQ(made.body, std::string(R"j({"key":"k","value":)j") + value +
                             R"j(,"created":true,"updated_at":"2027-01-15T08:00:00.000000Z"})j");
    EXPECT_EQ(kept.get("k"), std::string(R"j({"key":"k","value":)j") + value + "}");
    EXPECT_EQ(kept.change(set("k", value)).status, 200U);
  }
}

TEST(Kv, SaysWhatIsNotThere) {
  Kept kept;
  EXPECT_EQ(get_kv(kept.document, "k", "", true).status, 404U);
  EXPECT_EQ(kept.get("k"), R"j({"detail":"key_not_found"})j");
  EXPECT_EQ(count_kv(kept.document, "k").body, R"j({"detail":"key_not_found"})j");
  kept.change(set("k", R"j({"a":[10,20]})j"));
  EXPECT_EQ(get_kv(kept.document, "k", "a.b", false).status, 404U);
  EXPECT_EQ(kept.get("k", "a[2]"), R"j({"detail":"invalid_path"})j");
  EXPECT_EQ(kept.get("k", "a[1]"), R"j({"key":"k","path":"a[1]","value":20})j");
  EXPECT_EQ(kept.get("k", "a.-2"), R"j({"key":"k","path":"a.-2","value":10})j");
  EXPECT_EQ(get_kv(kept.document, "k", "a[", false).status, 400U);
}

TEST(Kv, FindsWhatAPathNames) {
  Kept kept;
  kept.change(set("k", R"j({"a":{"b.c":{"d":1}},"":{"x":2}})j"));
  EXPECT_EQ(kept.get("k", R"j(a["b.c"].d)j"), R"j({"key":"k","path":"a[\"b.c\"].d","value":1})j");
  EXPECT_EQ(kept.get("k", "a['b.c']d"), R"j({"key":"k","path":"a['b.c']d","value":1})j");
  EXPECT_EQ(kept.get("k", "[].x"), R"j({"key":"k","path":"[].x","value":2})j");
  EXPECT_EQ(kept.get("k", "..a..[b.c]..d"), R"j({"key":"k","path":"..a..[b.c]..d","value":1})j");
  std::string deep = "a";
  for (int i = 1; i < 32; ++i) deep += ".a";
  EXPECT_EQ(get_kv(kept.document, "k", deep, false).status, 404U);
  EXPECT_EQ(kept.get("k", deep + ".a"), R"j({"detail":"invalid_path: Path exceeds maximum depth of 32 (33 segments)"})j");
}

TEST(Kv, ShowsVersionsAndTimes) {
  Kept kept;
  kept.change(set("a", "1"));
  kept.now += std::chrono::seconds(1);
  kept.change(set("b", "1"));
  kept.change(set("a", "2"));
  EXPECT_EQ(get_kv(kept.document, "a", "", true).body,
            R"j({"key":"a","value":2,"version":3,"created_at":"2027-01-15T08:00:00.000000Z",)j"
            R"j("updated_at":"2027-01-15T08:00:01.000000Z"})j");
}

TEST(Kv, IsSetOnlyWhereItIsNewOrKnownOrOfThatVersion) {
  Kept kept;
  auto only_new = set("k", "1");
  only_new.only_new = true;
  auto only_known = set("other", "1");
  only_known.only_known = true;
  EXPECT_EQ(kept.change(only_new).status, 201U);
  auto const clash = kept.change(only_new);
  EXPECT_EQ(clash.status, 409U);
  EXPECT_EQ(clash.body, R"j({"key":"k","created":false,"error":"key_exists"})j");
  EXPECT_EQ(clash.decision.what, store::KvDecision::What::keep);
  auto const miss = kept.change(only_known);
  EXPECT_EQ(miss.status, 409U);
  EXPECT_EQ(miss.body, R"j({"detail":"key_not_exists"})j");

  EXPECT_EQ(kept.change(set("k", "2"), 1).status, 200U);
  auto const old = kept.change(set("k", "3"), 1);
  EXPECT_EQ(old.status, 409U);
  EXPECT_TRUE(old.may_be_tried_again);
  EXPECT_EQ(old.body, R"j({"detail":{"error":"version_mismatch","message":"State was modified by another process",)j"
                      R"j("expected_version":1,"actual_version":2}})j");
  EXPECT_EQ(kept.change(set("k", "3"), -2).status, 409U);
  EXPECT_EQ(Kept().change(set("k", "3"), 0).status, 201U) << "what is not there has version 0";
}

TEST(Kv, CountsUpAndDown) {
  Kept kept;
  EXPECT_EQ(kept.change(of(What::increase, "n")).body, R"j({"key":"n","value":1})j");
  auto by = of(What::decrease, "n");
  by.by = 5;
  EXPECT_EQ(kept.change(by).body, R"j({"key":"n","value":-4})j");
  by.key = "new";
  EXPECT_EQ(kept.change(by).body, R"j({"key":"new","value":-5})j");
}

TEST(Kv, CountsNothingButWholeNumbers) {
  auto const told = [](std::string_view value) {
    Kept kept;
    kept.change(set("k", value));
    auto const answer = kept.change(of(What::increase, "k"));
    EXPECT_EQ(answer.status, 400U) << value;
    EXPECT_EQ(answer.decision.what, store::KvDecision::What::keep);
    return answer.body;
  };
  EXPECT_EQ(told("[1]"), R"j({"detail":"type_mismatch: value is not an integer"})j");
  EXPECT_EQ(told("true"), R"j({"detail":"type_mismatch: value is boolean, not integer"})j");
  EXPECT_EQ(told("1.0"), R"j({"detail":"type_mismatch: value is float, not integer (integer required)"})j");
  EXPECT_EQ(told("null"), R"j({"detail":"type_mismatch: value is not an integer"})j");
  EXPECT_EQ(told("9223372036854775807"), R"j({"detail":"type_mismatch: value is beyond 64 bits"})j");
  EXPECT_EQ(told("9223372036854775808"), R"j({"detail":"type_mismatch: value is beyond 64 bits"})j");
  Kept least;
  auto by_least = of(What::decrease, "k");
  by_least.by = INT64_MIN;
  EXPECT_EQ(least.change(by_least).status, 400U);
}

TEST(Kv, PushesAndPopsAtBothEnds) {
  Kept kept;
  EXPECT_EQ(kept.change(of(What::push_right, "l", "1")).body, R"j({"key":"l","length":1})j");
  EXPECT_EQ(kept.change(of(What::push_right, "l", "2")).body, R"j({"key":"l","length":2})j");
  EXPECT_EQ(kept.change(of(What::push_left, "l", "[0]")).body, R"j({"key":"l","length":3})j");
  EXPECT_EQ(kept.get("l"), R"j({"key":"l","value":[[0],1,2]})j");
  EXPECT_EQ(count_kv(kept.document, "l").body, R"j({"key":"l","length":3})j");
  EXPECT_EQ(kept.change(of(What::pop_left, "l")).body, R"j({"key":"l","value":[0]})j");
  EXPECT_EQ(kept.change(of(What::pop_right, "l")).body, R"j({"key":"l","value":2})j");
  kept.change(of(What::pop_right, "l"));
  auto const empty = kept.change(of(What::pop_right, "l"));
  EXPECT_EQ(empty.body, R"j({"key":"l","value":null})j");
  EXPECT_EQ(empty.decision.what, store::KvDecision::What::keep);
  EXPECT_EQ(kept.get("l"), R"j({"key":"l","value":[]})j") << "an empty list stays";
  EXPECT_EQ(kept.change(of(What::pop_left, "none")).body, R"j({"key":"none","value":null})j");
}

TEST(Kv, PushesOnlyToLists) {
  Kept kept;
  kept.change(set("k", R"j("text")j"));
  for (auto const what : {What::push_left, What::push_right, What::pop_left, What::pop_right}) {
    auto const answer = kept.change(of(what, "k", "1"));
    EXPECT_EQ(answer.status, 400U);
    EXPECT_EQ(answer.body, R"j({"detail":"type_mismatch: value is not a list"})j");
  }
  EXPECT_EQ(count_kv(kept.document, "k").body, R"j({"detail":"type_mismatch: value is not a list"})j");
}

TEST(Kv, PatchesWithinAnObject) {
  Kept kept;
  EXPECT_EQ(kept.change(patch("k", "a", "1")).body, R"j({"detail":"key_not_found"})j");
  kept.change(set("k", R"j({"a":{"b":1},"l":[1]})j"));
  EXPECT_EQ(kept.change(patch("k", "a.c.d", "[2]")).body, R"j({"key":"k","path":"a.c.d","value":[2]})j");
  EXPECT_EQ(kept.get("k"), R"j({"key":"k","value":{"a":{"b":1,"c":{"d":[2]}},"l":[1]}})j");
  kept.change(patch("k", "a.b", "null"));
  EXPECT_EQ(kept.get("k", "a.b"), R"j({"key":"k","path":"a.b","value":null})j");
  auto const through_list = kept.change(patch("k", "l.0", "9"));
  EXPECT_EQ(through_list.status, 400U);
  EXPECT_EQ(through_list.body, R"j({"detail":"invalid_path: Cannot set path 'l.0': intermediate value is not a dict"})j");
  EXPECT_EQ(kept.change(patch("k", ".", "9")).status, 400U);
  EXPECT_EQ(kept.change(patch("k", "a[", "9")).body,
            R"j({"detail":"invalid_path: Invalid path: unclosed bracket in 'a['"})j");
  kept.change(set("list", "[]"));
  EXPECT_EQ(kept.change(patch("list", "a", "9")).body, R"j({"detail":"type_mismatch: value is not an object"})j");
}

TEST(Kv, IsNoneOnceItsLastKeyIsGone) {
  Kept kept;
  kept.change(set("a", "1"));
  kept.change(set("b", "1"));
  EXPECT_EQ(kept.change(of(What::remove, "a")).body, R"j({"key":"a","deleted":true})j");
  EXPECT_EQ(kept.change(of(What::remove, "a")).body, R"j({"key":"a","deleted":false})j");
  EXPECT_EQ(kept.change(of(What::remove, "b"), 2).status, 409U);
  EXPECT_EQ(kept.change(of(What::remove, "b"), 3).decision.what, store::KvDecision::What::remove);
  EXPECT_EQ(list_kv(kept.document, 10, 0).body, R"j({"keys":[],"count":0,"limit":10,"offset":0,"total":0})j");
}

TEST(Kv, ListsKeysInTheOrderTheyCameIn) {
  Kept kept;
  for (auto const* key : {"c", "a", "b"}) kept.change(set(key, "1"));
  kept.change(set("c", "2"));
  EXPECT_EQ(list_kv(kept.document, 100, 0).body, R"j({"keys":["c","a","b"],"count":3,"limit":100,"offset":0,"total":3})j");
  EXPECT_EQ(list_kv(kept.document, 1, 1).body, R"j({"keys":["a"],"count":1,"limit":1,"offset":1,"total":3})j");
  EXPECT_EQ(list_kv(kept.document, 1, 9).body, R"j({"keys":[],"count":0,"limit":1,"offset":9,"total":3})j");
}

TEST(Kv, IsRefusedBeyondItsSizeAndKept) {
  Kept kept;
  kept.limits.document_bytes_max = 20;
  // {"k": "xxxxxxxxxxxx"}, as Python writes it
  EXPECT_EQ(kept.change(set("k", R"j("xxxxxxxxxxx")j")).status, 201U);
  auto const over = Kept{.document = {}, .limits = {20}}.change(set("k", R"j("xxxxxxxxxxxx")j"));
  EXPECT_EQ(over.status, 413U);
  EXPECT_EQ(over.body, R"j({"detail":"State size (21 bytes) exceeds limit (20 bytes)"})j");
  EXPECT_EQ(kept.change(of(What::push_right, "l", "1")).status, 413U);
  EXPECT_EQ(kept.batch({set("l", "[1]")}).status, 413U);
  EXPECT_EQ(kept.get("k"), R"j({"key":"k","value":"xxxxxxxxxxx"})j");
  EXPECT_EQ(kept.change(of(What::remove, "k")).status, 200U) << "what is removed is never too much";
}

TEST(Kv, CountsItsSizeAsAsciiText) {
  Kept kept;
  kept.limits.document_bytes_max = 13;
  EXPECT_EQ(kept.change(set("k", R"j("ü")j")).body, R"j({"detail":"State size (15 bytes) exceeds limit (13 bytes)"})j");
}

std::string nested(int depth) {
  return std::string(static_cast<std::size_t>(depth), '[') + std::string(static_cast<std::size_t>(depth), ']');
}

TEST(Kv, IsNotDeeperThanThirtyTwo) {
  Kept kept;
  EXPECT_EQ(kept.change(set("k", nested(32))).status, 201U);
  auto const deeper = kept.change(set("k", nested(33)));
  EXPECT_EQ(deeper.status, 400U);
  EXPECT_EQ(deeper.body, R"j({"detail":"invalid_value: Value exceeds maximum nesting depth of 32"})j");
  EXPECT_EQ(kept.change(of(What::push_left, "l", nested(32))).status, 400U);
  EXPECT_EQ(kept.change(of(What::push_left, "l", nested(31))).status, 200U);
  kept.change(set("o", "{}"));
  EXPECT_EQ(kept.change(patch("o", "a.b", nested(30))).status, 200U);
  EXPECT_EQ(kept.change(patch("o", "a.b", nested(31))).status, 400U);
}

TEST(KvBatch, DoesAllInTheirOrder) {
  Kept kept;
  kept.change(set("old", "1"));
  auto const answer = kept.batch({set("a", "1"), of(What::increase, "a"), of(What::decrease, "a"),
                                  of(What::push_left, "l", "1"), of(What::push_right, "l", "2"), of(What::pop_left, "l"),
                                  of(What::pop_right, "l"), of(What::pop_right, "l"), patch("o", "x.y", "3"),
                                  of(What::remove, "old"), of(What::remove, "old"), set("a", "7")});
  EXPECT_EQ(answer.status, 200U);
  EXPECT_EQ(answer.body,
            R"j({"version":2,"results":[{"op":"set","key":"a","success":true,"created":true},)j"
            R"j({"op":"incr","key":"a","success":true,"value":2},{"op":"decr","key":"a","success":true,"value":1},)j"
            R"j({"op":"lpush","key":"l","success":true,"length":1},{"op":"rpush","key":"l","success":true,"length":2},)j"
            R"j({"op":"lpop","key":"l","success":true,"value":1},{"op":"rpop","key":"l","success":true,"value":2},)j"
            R"j({"op":"rpop","key":"l","success":true,"value":null},{"op":"patch","key":"o","success":true},)j"
            R"j({"op":"delete","key":"old","success":true,"deleted":true},)j"
            R"j({"op":"delete","key":"old","success":true,"deleted":false},)j"
            R"j({"op":"set","key":"a","success":true,"created":false}]})j");
  EXPECT_EQ(kept.get("o"), R"j({"key":"o","value":{"x":{"y":3}}})j");
}

TEST(KvBatch, DoesNothingWhereOneFails) {
  Kept kept;
  kept.change(set("l", "[]"));
  auto const before = kept.document.json;
  auto const told = [&](KvOperation operation) {
    auto const answer = kept.batch({set("a", "1"), std::move(operation)});
    EXPECT_EQ(answer.status, 400U);
    EXPECT_EQ(kept.document.json, before);
    return answer.body;
  };
  EXPECT_EQ(told(of(What::increase, "l")),
            R"j({"detail":{"error":"operation_failed","message":"key 'l' is not an integer","operation_index":1,)j"
            R"j("operation":{"op":"incr","key":"l"}}})j");
  auto only_new = set("l", "1");
  only_new.only_new = true;
  auto only_known = set("none", "1");
  only_known.only_known = true;
  EXPECT_NE(told(only_new).find("key 'l' already exists (nx=true)"), std::string::npos);
  EXPECT_NE(told(only_known).find("key 'none' does not exist (xx=true)"), std::string::npos);
  EXPECT_NE(told(patch("l", "a", "1")).find("key 'l' is not an object"), std::string::npos);
  EXPECT_NE(told(set("$version", "1")).find("keys starting with '$' are reserved for system use"), std::string::npos);
  EXPECT_NE(told(set(" ", "1")).find("key cannot be whitespace-only"), std::string::npos);
}

TEST(KvBatch, IsOfOneVersion) {
  Kept kept;
  EXPECT_EQ(kept.batch({set("a", "1")}, 1).status, 409U);
  EXPECT_EQ(kept.batch({set("a", "1")}, 0).status, 200U);
  EXPECT_EQ(kept.batch({set("a", "2")}, 1).status, 200U);
}

TEST(KvKey, IsATextWithoutControlCharacters) {
  EXPECT_FALSE(why_not_a_kv_key("a key: with ü/and more"));
  EXPECT_EQ(why_not_a_kv_key(""), "key cannot be empty");
  EXPECT_EQ(why_not_a_kv_key(" \t"), "key cannot be whitespace-only");
  EXPECT_EQ(why_not_a_kv_key("$x"), "keys starting with '$' are reserved for system use");
  EXPECT_EQ(why_not_a_kv_key("ü\x1f"), "control character \\x1f at position 1");
  EXPECT_EQ(why_not_a_kv_key("a\xff"), "key is not UTF-8");
  EXPECT_EQ(why_not_a_kv_key("a\x7f"), "control character \\x7f at position 1");
  std::string longest;
  for (int i = 0; i < 255; ++i) longest += "ü";
  EXPECT_FALSE(why_not_a_kv_key(longest));
  EXPECT_EQ(why_not_a_kv_key(longest + "x"), "key exceeds 255 chars (256 given)");
  EXPECT_EQ(no_kv_key("key cannot be empty").body, R"j({"detail":"invalid_key: key cannot be empty"})j");
}

TEST(Kv, ThatCannotBeReadIsNotWritten) {
  for (auto const* text : {"", "[]", R"j({"k":1})j", R"({"k":{}})"}) {
    store::KvDocument const broken{text, true};
    EXPECT_EQ(change_kv(broken, set("a", "1"), {}).status, 500U) << text;
    EXPECT_EQ(change_kv(broken, set("a", "1"), {}).decision.what, store::KvDecision::What::keep);
    EXPECT_EQ(list_kv(broken, 1, 0).status, 500U);
  }
}

}  // namespace
}  // namespace nestgate::api
