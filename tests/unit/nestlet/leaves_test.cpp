#include <gtest/gtest.h>

#include "nestgate/base/text.hpp"
#include "nestlet/event_log.hpp"
#include "nestlet/files.hpp"
#include "nestlet/multipart.hpp"
#include "nestlet/router.hpp"
#include "nestlet/settings.hpp"
#include "nestlet/text.hpp"
#include "nestlet/zip_archive.hpp"

namespace nestgate::nestlet {
namespace {

using namespace std::chrono_literals;

TEST(PercentDecode, DecodesOnceAndRefusesBrokenEscapesAndNul) {
  EXPECT_EQ(percent_decode("/a%2Fb%20c%252F"), "/a/b c%2F");
  EXPECT_EQ(percent_decode("%4"), std::nullopt);
  EXPECT_EQ(percent_decode("%zz"), std::nullopt);
  EXPECT_EQ(percent_decode("a%00b"), std::nullopt);
}

TEST(Query, KeepsRepeatedNamesAndReadsPlusAsSpace) {
  Query const query("path=%2Fa%2Fup+dir%2Ff%2B1.bin&ids=1&ids=2&flag");
  EXPECT_EQ(query.get("path"), "/a/up dir/f+1.bin");
  EXPECT_EQ(query.all("ids").size(), 2u);
  EXPECT_EQ(query.get("flag"), "");
  EXPECT_EQ(query.get("other"), std::nullopt);
}

TEST(Moment, RoundTripsAndUnderstandsOffsets) {
  auto const at = parse_moment("2026-11-21T10:20:30.5Z", 0s);
  ASSERT_TRUE(at);
  EXPECT_EQ(utc_text(*at), "2026-11-21T10:20:30.500000Z");
  EXPECT_EQ(parse_moment("2026-11-21T11:20:30.500000+01:00", 0s), at);
  EXPECT_EQ(parse_moment("2026-11-21T12:20:30.5", 2h), at);
  EXPECT_EQ(parse_moment("2026-13-01", 0s), std::nullopt);
  EXPECT_EQ(parse_moment("2026-11-21T10:20:30x", 0s), std::nullopt);
}

TEST(UuidHex, TakesEveryFormOfOneUuid) {
  std::string const hex = "0123456789abcdef0123456789abcdef";
  for (auto const* form : {"0123456789abcdef0123456789abcdef", "01234567-89AB-CDEF-0123-456789ABCDEF",
                           "{01234567-89ab-cdef-0123-456789abcdef}", "urn:uuid:01234567-89ab-cdef-0123-456789abcdef"}) {
    EXPECT_EQ(uuid_hex(form), hex) << form;
  }
  EXPECT_EQ(uuid_hex("search"), std::nullopt);
  EXPECT_EQ(dashed_uuid(hex), "01234567-89ab-cdef-0123-456789abcdef");
}

TEST(CharBuffer, NeverCutsThroughACharacterHoweverItCame) {
  std::string const text = "ä€😀x";
  CharBuffer buffer;
  for (char const c : text) buffer.append(std::string_view(&c, 1));
  EXPECT_EQ(buffer.chars(), 4u);
  EXPECT_EQ(buffer.take(2), "ä€");
  EXPECT_EQ(buffer.take(1), "😀");
  EXPECT_EQ(buffer.take(9), "x");
  EXPECT_TRUE(buffer.empty());
  buffer.append(text);
  buffer.cut(3);
  EXPECT_EQ(buffer.take(9), "ä€😀");
}

TEST(CharBuffer, KeepsACharacterThatIsNotWholeYet) {
  std::string const text = "x€";
  CharBuffer buffer;
  buffer.append(text.substr(0, 3));
  EXPECT_EQ(buffer.take_whole(), "x");
  EXPECT_EQ(buffer.take_whole(), "");
  EXPECT_EQ(buffer.chars(), 1u);
  buffer.append(text.substr(3));
  EXPECT_EQ(buffer.take_whole(), "€");
  EXPECT_TRUE(buffer.empty());
}

TEST(CharBuffer, CountsBytesThatContinueNothing) {
  CharBuffer buffer;
  buffer.append(std::string(1000, '\x80'));
  EXPECT_EQ(buffer.chars(), 1000u);
  EXPECT_EQ(buffer.take(600).size(), 600u);
  EXPECT_EQ(buffer.chars(), 400u);
  buffer.append("\xC3\xA4\xA4");
  EXPECT_EQ(buffer.chars(), 402u) << "a character and a stray byte";
}

TEST(ParseBoolean, TakesPydanticsWordsAndNoOthers) {
  for (auto const* word : {"true", "True", "1", "yes", "on", "t", "Y"}) EXPECT_EQ(parse_boolean(word), true) << word;
  for (auto const* word : {"false", "FALSE", "0", "no", "off", "f", "N"}) EXPECT_EQ(parse_boolean(word), false) << word;
  for (auto const* word : {"", "2", "tru", "null"}) EXPECT_EQ(parse_boolean(word), std::nullopt) << word;
}

TEST(CommandLine, NamesTheFlagAndTheBoundsOfABadValue) {
  auto const parsed = parse_command_line({"--listen", "127.0.0.1:0", "--head-bytes-max", "5", "--nonsense", "1"});
  auto const& faults = std::get<UsageFaults>(parsed).lines;
  ASSERT_EQ(faults.size(), 2u);
  EXPECT_EQ(faults[0], "--head-bytes-max: \"5\" is not a whole number from 1024 to 16777216");
  EXPECT_EQ(faults[1], "unknown flag --nonsense (see --help)");
}

TEST(CommandLine, NeedsAnAddressAndAValueForEachFlag) {
  EXPECT_TRUE(std::get<UsageFaults>(parse_command_line({})).lines.front().starts_with("--listen: missing"));
  EXPECT_EQ(std::get<UsageFaults>(parse_command_line({"--workspace"})).lines.front(), "--workspace: needs a value");
}

TEST(CommandLine, NamesAnUnknownFlagWithOrWithoutAValue) {
  auto const faults = [](std::vector<std::string_view> const& arguments) {
    return std::get<UsageFaults>(parse_command_line(arguments)).lines;
  };
  std::vector<std::string> const unknown{"unknown flag --bogus (see --help)"};
  EXPECT_EQ(faults({"--bogus"}), unknown);
  EXPECT_EQ(faults({"--bogus=1"}), unknown);
  EXPECT_EQ(faults({"--bogus", "--listen", "127.0.0.1:0"}), unknown);
}

TEST(Limits, ARunLastsUntilAClientThatStartedItLooksOutForItsEnd) { EXPECT_GE(Limits{}.run_milliseconds, 100u); }

TEST(CommandLine, ReadsBothWaysOfGivingAValue) {
  auto const parsed = parse_command_line({"--listen=127.0.0.1:1", "--listen", "unix:/x", "--run-milliseconds=7"});
  auto const& settings = std::get<Settings>(parsed);
  EXPECT_EQ(settings.listen, (std::vector<std::string>{"127.0.0.1:1", "unix:/x"}));
  EXPECT_EQ(settings.limits.run_milliseconds, 7u);
}

std::string read_field(std::string_view body, std::size_t piece) {
  MultipartReader reader("XX", "file");
  std::string out;
  for (std::size_t at = 0; at < body.size(); at += piece) {
    reader.feed(body.substr(at, piece));
    for (auto step = reader.next(); step != MultipartReader::Step::need_more; step = reader.next()) {
      if (step == MultipartReader::Step::field_end) return out + "|" + reader.filename();
      if (step == MultipartReader::Step::no_field) return "no field";
      if (step == MultipartReader::Step::malformed) return "malformed";
      out += reader.data();
    }
  }
  return "unfinished";
}

TEST(MultipartReader, GivesTheSameFieldForEveryWayToCutTheBody) {
  std::string const body =
      "preamble\r\n--XX\r\nContent-Disposition: form-data; name=\"other\"\r\n\r\nfile\r\n--XX \r\n"
      "content-type: a/b\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a \\\"b\\\".txt\"\r\n\r\n"
      "one\r\n--X two\r\n-\r\n\r\n--XX--\r\nepilogue";
  for (std::size_t piece = 1; piece <= body.size(); ++piece) {
    EXPECT_EQ(read_field(body, piece), "one\r\n--X two\r\n-\r\n|a \"b\".txt") << "pieces of " << piece;
  }
}

TEST(MultipartReader, TakesWhatLaxClientsWrite) {
  for (auto const* line : {"Content-Disposition: form-data; inline; name=\"file\"; filename=\"f\"",
                           "Content-Disposition: form-data; name = \"file\" ; filename = f",
                           "Content-Disposition: form-data;\r\n name=file;\r\n\tfilename=f",
                           "Content-Disposition : form-data; x=\"a;b=\\\"\"; NAME=file; filename=f"}) {
    auto const body = "--XX\r\n" + std::string(line) + "\r\nContent-Type: a/b\r\n\r\none\r\n--XX--\r\n";
    EXPECT_EQ(read_field(body, 5), "one|f") << line;
  }
}

TEST(MultipartReader, TellsAMissingFieldFromAMalformedBody) {
  EXPECT_EQ(read_field("--XX\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\n1\r\n--XX--\r\n", 7), "no field");
  EXPECT_EQ(read_field("--XX??", 3), "malformed");
  EXPECT_EQ(read_field("--XX\r\n" + std::string(20'000, 'h'), 1000), "malformed");
  EXPECT_EQ(read_field("--XX\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nhalf", 9), "unfinished");
}

TEST(MultipartBoundary, IsReadFromQuotedAndPlainParameters) {
  EXPECT_EQ(multipart_boundary("multipart/form-data; charset=x; boundary=\"a b\""), "a b");
  EXPECT_EQ(multipart_boundary("Multipart/Form-Data;boundary=abc"), "abc");
  EXPECT_EQ(multipart_boundary("Multipart/Form-Data ; x; boundary = abc"), "abc");
  EXPECT_EQ(multipart_boundary("application/json"), std::nullopt);
  EXPECT_EQ(multipart_boundary("multipart/form-data"), std::nullopt);
}

TEST(ParseRange, FollowsRfc9110) {
  auto const range = [](std::string_view header, std::uint64_t size) {
    auto const parsed = parse_range(header, size);
    if (parsed) return std::to_string(parsed->first) + "+" + std::to_string(parsed->length);
    return std::string(parsed.error() == RangeFault::ignore ? "ignore" : "unsatisfiable");
  };
  EXPECT_EQ(range("bytes=0-0", 10), "0+1");
  EXPECT_EQ(range("bytes=4-", 10), "4+6");
  EXPECT_EQ(range("bytes=4-99", 10), "4+6");
  EXPECT_EQ(range("bytes=-3", 10), "7+3");
  EXPECT_EQ(range("bytes=-30", 10), "0+10");
  EXPECT_EQ(range("bytes=10-", 10), "unsatisfiable");
  EXPECT_EQ(range("bytes=-0", 10), "unsatisfiable");
  EXPECT_EQ(range("bytes=0-", 0), "unsatisfiable");
  for (auto const* text : {"bytes=5-4", "bytes=1-2,4-5", "bytes=-", "bytes=a-", "lines=1-2", "bytes=+1-2"}) {
    EXPECT_EQ(range(text, 10), "ignore") << text;
  }
}

TEST(EntryName, IsSafeOnlyBelowItsDirectory) {
  for (auto const* name : {"a", "a/b", "a/", "..a", "a/..b/c", "./a"}) EXPECT_TRUE(is_safe_entry_name(name)) << name;
  for (auto const* name : {"", "/a", "..", "../a", "a/../b", "a/..", "a\\..\\b"})
    EXPECT_FALSE(is_safe_entry_name(name)) << name;
  EXPECT_FALSE(is_safe_entry_name(std::string_view("a\0b", 3)));
}

LogEntry entry(std::string id, std::string_view text) {
  return {std::move(id), Moment{}, "BashOutput", "", "", 0, make_frame(std::string(text))};
}
auto const everything = [](LogEntry const&) { return true; };

TEST(EventLog, PagesThroughEverythingInBothOrders) {
  EventLog log(100, 1000);
  for (char c = 'a'; c <= 'e'; ++c) log.append(entry(std::string(1, c), "x"));
  for (auto const order : {Order::ascending, Order::descending}) {
    std::string seen;
    std::string page_id;
    do {
      auto const page = log.page(everything, order, page_id, 2);
      for (auto const* item : page.items) seen += item->id;
      page_id = page.next_page_id;
    } while (!page_id.empty());
    EXPECT_EQ(seen, order == Order::ascending ? "abcde" : "edcba");
  }
  EXPECT_TRUE(log.page(everything, Order::ascending, "gone", 2).items.empty());
}

TEST(EventLog, DropsTheOldestPastEitherBoundAndKeepsSequenceNumbers) {
  EventLog log(3, 10);
  for (char c = 'a'; c <= 'e'; ++c) log.append(entry(std::string(1, c), "xx"));
  EXPECT_EQ(log.size(), 3u);
  EXPECT_EQ(log.find("b"), nullptr);
  EXPECT_EQ(log.first_seq(), 2u);
  EXPECT_EQ(log.at(4).id, "e");
  log.append(entry("big", "0123456789abcdef"));
  EXPECT_EQ(log.size(), 1u) << "the newest stays, whatever its size";
}

Task<Answer> no_handler(App&, Request&) { co_return Answer(); }

TEST(FindRoute, PrefersLiteralsAndTellsAWrongMethodFromAWrongPath) {
  static constexpr Route table[] = {{"GET", "/c/search", Access::open, no_handler},
                                    {"GET", "/c/{}", Access::open, no_handler},
                                    {"DELETE", "/c/{}", Access::open, no_handler},
                                    {"GET", "/c/{}/e/{}", Access::open, no_handler}};
  std::span<Route const> const tables[] = {table};
  EXPECT_EQ(std::get<Match>(find_route(tables, "GET", "/c/search")).route, &table[0]);
  auto const two = std::get<Match>(find_route(tables, "GET", "/c/1/e/2"));
  EXPECT_EQ(two.parameters, (std::vector<std::string_view>{"1", "2"}));
  EXPECT_EQ(std::get<WrongMethod>(find_route(tables, "PUT", "/c/1")).allow, "GET, DELETE");
  EXPECT_TRUE(std::holds_alternative<NoSuchPath>(find_route(tables, "GET", "//c/1")));
  EXPECT_TRUE(std::holds_alternative<NoSuchPath>(find_route(tables, "GET", "/c/")));
  EXPECT_TRUE(std::holds_alternative<NoSuchPath>(find_route(tables, "GET", "/c/1/")));
}

}  // namespace
}  // namespace nestgate::nestlet
