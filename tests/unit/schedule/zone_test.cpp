#include "nestgate/schedule/zone.hpp"

#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <utility>

#include "schedule/posix_zone.hpp"
#include "support/temp_folder.hpp"
#include "unit/schedule/schedule_fixture.hpp"

namespace nestgate::schedule {
namespace {

using namespace std::chrono;
using testing::Contains;
using testing::ElementsAre;
using testing::Not;

std::string bytes_of(std::string_view name) {
  std::ifstream file(std::filesystem::path(zone_folder) / name, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string big_endian(std::uint64_t value, unsigned count) {
  std::string bytes;
  for (unsigned i = count; i-- > 0;) bytes += static_cast<char>(value >> 8 * i & 0xFF);
  return bytes;
}

// A file of version 2 whose first block is empty.
struct File {
  std::vector<std::int64_t> times;
  std::string indices;
  std::vector<std::int32_t> offsets{0};
  std::string footer = "\nUTC0\n";
  std::uint32_t leaps = 0;

  static std::string header(std::uint64_t leap_count, std::uint64_t time_count, std::uint64_t types, std::uint64_t letters) {
    return "TZif2" + std::string(15, '\0') + big_endian(0, 4) + big_endian(0, 4) + big_endian(leap_count, 4) +
           big_endian(time_count, 4) + big_endian(types, 4) + big_endian(letters, 4);
  }
  std::string bytes() const {
    std::string all = header(0, 0, 1, 1) + std::string(7, '\0') + header(leaps, times.size(), offsets.size(), 4);
    for (auto const time : times) all += big_endian(static_cast<std::uint64_t>(time), 8);
    all += indices;
    for (auto const offset : offsets) all += big_endian(static_cast<std::uint32_t>(offset), 4) + std::string(2, '\0');
    all += std::string("XYZ\0", 4) + std::string(12 * leaps, '\0');
    return all + footer;
  }
};

File with_footer(std::string footer) {
  File file;
  file.footer = std::move(footer);
  return file;
}

File with_offset(std::int32_t offset) {
  File file;
  file.offsets = {offset};
  return file;
}

File with_times(std::vector<std::int64_t> times, std::string indices) {
  File file;
  file.times = std::move(times);
  file.indices = std::move(indices);
  return file;
}

File with_leap_seconds() {
  File file;
  file.leaps = 1;
  return file;
}

std::string refusal_of(std::string_view bytes) {
  std::string_view reason = "none";
  return Zone::read("X", bytes, reason) ? "none" : std::string(reason);
}

std::vector<std::pair<std::string, int>> changes_in(Zone const& zone, std::string_view year) {
  std::vector<std::pair<std::string, int>> changes;
  for (auto const& segment : zone.segments()) {
    if (text_of(segment.begin).starts_with(year)) changes.emplace_back(text_of(segment.begin), segment.offset.count() / 60);
  }
  return changes;
}

using Changes = std::vector<std::pair<std::string, int>>;

TEST(Zone, HasTheChangesOfItsFileAndThenThoseOfItsFooter) {
  auto const berlin = zone("Europe/Berlin");
  EXPECT_EQ(changes_in(*berlin, "1980"), (Changes{{"1980-04-06T01:00:00Z", 120}, {"1980-09-28T01:00:00Z", 60}}));
  EXPECT_EQ(changes_in(*berlin, "2026"), (Changes{{"2026-03-29T01:00:00Z", 120}, {"2026-10-25T01:00:00Z", 60}}));
  EXPECT_EQ(changes_in(*berlin, "2150"), (Changes{{"2150-03-29T01:00:00Z", 120}, {"2150-10-25T01:00:00Z", 60}}));
  EXPECT_EQ(changes_in(*zone("Asia/Tokyo"), "2026"), Changes{});
}

TEST(Zone, HasNoHolesAndKnowsWhatItsClocksHaveShown) {
  for (auto const* name : {"Europe/Berlin", "America/New_York", "Pacific/Apia", "Africa/Casablanca", "Antarctica/Troll"}) {
    auto const read = zone(name);
    auto const& segments = read->segments();
    EXPECT_LE(segments.front().begin, earliest_moment);
    EXPECT_EQ(segments.back().end, latest_moment);
    auto shown = segments.front().local_begin();
    for (std::size_t i = 0; i < segments.size(); ++i) {
      EXPECT_LT(segments[i].begin, segments[i].end);
      EXPECT_EQ(segments[i].shown_until, shown);
      shown = std::max(shown, segments[i].local_end());
      if (i == 0) continue;
      EXPECT_EQ(segments[i].begin, segments[i - 1].end);
      EXPECT_NE(segments[i].offset, segments[i - 1].offset);
    }
  }
}

TEST(Zone, FindsTheSegmentOfAMoment) {
  auto const berlin = zone("Europe/Berlin");
  auto const change = moment("2026-03-29T01:00:00Z");
  EXPECT_EQ(berlin->segments()[berlin->segment_at(change)].offset, hours(2));
  EXPECT_EQ(berlin->segments()[berlin->segment_at(change - seconds(1))].offset, hours(1));
  EXPECT_EQ(berlin->segment_at(Moment::min()), 0u);
  EXPECT_EQ(berlin->segment_at(Moment::max()), berlin->segments().size() - 1);
}

std::string transitions_of(std::string_view footer, std::string const& from, std::string const& until) {
  auto const rule = PosixZone::parse(footer);
  if (!rule) return "refused";
  std::string text;
  auto last = std::chrono::seconds::max();
  for (auto const& change : rule->transitions(moment(from), moment(until))) {
    if (change.offset == std::exchange(last, change.offset)) continue;
    text += text_of(change.at) + ' ' + std::to_string(change.offset.count() / 60) + '\n';
  }
  return text;
}

TEST(ZoneFooter, SaysWhenTheClocksChangeInAllItsForms) {
  auto const year = [](std::string_view footer) {
    return transitions_of(footer, "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z");
  };
  EXPECT_EQ(year("JST-9"), "2026-01-01T00:00:00Z 540\n");
  EXPECT_EQ(year("<+0330>-3:30"), "2026-01-01T00:00:00Z 210\n");
  EXPECT_EQ(year("CET-1CEST,M3.5.0,M10.5.0/3"),
            "2026-01-01T00:00:00Z 60\n2026-03-29T01:00:00Z 120\n2026-10-25T01:00:00Z 60\n");
  EXPECT_EQ(year("IST-1GMT0,M10.5.0,M3.5.0/1"), "2026-01-01T00:00:00Z 0\n2026-03-29T01:00:00Z 60\n2026-10-25T01:00:00Z 0\n");
  EXPECT_EQ(year("NZST-12NZDT,M9.5.0,M4.1.0/3"),
            "2026-01-01T00:00:00Z 780\n2026-04-04T14:00:00Z 720\n2026-09-26T14:00:00Z 780\n");
  EXPECT_EQ(year("<-02>2<-01>,M3.5.0/-1,M10.5.0/0"),
            "2026-01-01T00:00:00Z -120\n2026-03-29T01:00:00Z -60\n2026-10-25T01:00:00Z -120\n");
  EXPECT_EQ(year("EET-2EEST,M3.4.4/50,M10.4.4/50"),
            "2026-01-01T00:00:00Z 120\n2026-03-28T00:00:00Z 180\n2026-10-23T23:00:00Z 120\n");
  EXPECT_EQ(year("XXX3EDT4,0/0,J365/23"), "2026-01-01T00:00:00Z -240\n");  // summer all the year
}

TEST(ZoneFooter, CountsLeapDaysWhereItsFormDoes) {
  auto const leap_year = [](std::string_view footer) {
    return transitions_of(footer, "2028-01-01T00:00:00Z", "2029-01-01T00:00:00Z");
  };
  EXPECT_EQ(leap_year("AAA0BBB,J60/0,J100/0"), "2028-01-01T00:00:00Z 0\n2028-03-01T00:00:00Z 60\n2028-04-09T23:00:00Z 0\n");
  EXPECT_EQ(leap_year("AAA0BBB,59/0,99/0"), "2028-01-01T00:00:00Z 0\n2028-02-29T00:00:00Z 60\n2028-04-08T23:00:00Z 0\n");
}

TEST(ZoneFooter, IsRefusedWhereItIsNone) {
  for (auto const* footer :
       {"", "CET", "CE-1", "CET-1CEST", "CET-25", "CET-1:60", "CET-1CEST,M3.5.0", "CET-1CEST,M13.5.0,M10.5.0",
        "CET-1CEST,M3.6.0,M10.5.0", "CET-1CEST,M3.5.7,M10.5.0", "CET-1CEST,J0,J5", "CET-1CEST,1,366", "CET-1CEST,1,2,3",
        "CET-1CEST,1/168,2", "<CET-1", "<+1>-1", "CET-1CEST,M3.5.0,M10.5.0/3x", "CET--1"})
    EXPECT_FALSE(PosixZone::parse(footer)) << footer;
}

TEST(ZoneFile, IsReadInTheFirstVersionToo) {
  std::string bytes = "TZif" + std::string(16, '\0') + std::string(12, '\0') + big_endian(1, 4) + big_endian(2, 4) +
                      big_endian(4, 4) + big_endian(86'400, 4) + std::string("\1", 1);
  for (auto const offset : {0u, 3'600u}) bytes += big_endian(offset, 4) + std::string(2, '\0');
  bytes += std::string("XYZ\0", 4);
  std::string_view reason;
  auto const read = Zone::read("X", bytes, reason);
  ASSERT_TRUE(read) << reason;
  EXPECT_EQ(changes_in(*read, "1970-01-02"), (Changes{{"1970-01-02T00:00:00Z", 60}}));
}

TEST(ZoneFile, MayLeaveOutChangesThatChangeNothing) {
  File file;
  file.times = {-(std::int64_t{1} << 59), 0, 1'000, 2'000};
  file.indices = std::string("\0\1\1\0", 4);
  file.offsets = {0, 3'600};
  std::string_view reason;
  auto const read = Zone::read("X", file.bytes(), reason);
  ASSERT_TRUE(read) << reason;
  EXPECT_EQ(read->segments().size(), 3u);
}

TEST(ZoneFile, IsRefusedWhereItIsHostile) {
  EXPECT_EQ(refusal_of(File{}.bytes()), "none");
  EXPECT_EQ(refusal_of(""), "it is no TZif file");
  EXPECT_EQ(refusal_of("TZif2"), "it is no TZif file");
  EXPECT_EQ(refusal_of("#!/bin/sh\n" + std::string(100, ' ')), "it is no TZif file");
  EXPECT_EQ(refusal_of(std::string(tzif_bytes_max + 1, '\0')), "it is too large");
  EXPECT_EQ(refusal_of(File::header(0, 0xFFFF'FFFF, 1, 1)), "it is no TZif file");
  EXPECT_EQ(refusal_of(File::header(0, 0, 0, 1)), "it is no TZif file");
  EXPECT_EQ(refusal_of(File::header(0, 0, 257, 1)), "it is no TZif file");
  EXPECT_EQ(refusal_of(File::header(0, 0, 1, 0xFFFF'FFFF)), "it is no TZif file");
  EXPECT_EQ(refusal_of(File::header(0, 8'000, 1, 1)), "it is cut off");
  EXPECT_EQ(refusal_of(File::header(0, 0, 1, 1) + std::string(7, '\0') + File::header(0, 8'000, 1, 1)), "it is cut off");
  EXPECT_EQ(refusal_of(File::header(0, 0, 1, 1) + std::string(60, '\0')), "its second header is wrong");
  EXPECT_EQ(refusal_of(with_footer("").bytes()), "its footer is wrong");
  EXPECT_EQ(refusal_of(with_footer("\nUTC0").bytes()), "its footer is wrong");
  EXPECT_EQ(refusal_of(with_footer("\nnonsense!\n").bytes()), "its footer is wrong");
  EXPECT_EQ(refusal_of(with_leap_seconds().bytes()), "it counts leap seconds");
  EXPECT_EQ(refusal_of(with_offset(93'600).bytes()), "its transitions are wrong");
  EXPECT_EQ(refusal_of(with_offset(-90'000).bytes()), "its transitions are wrong");
  EXPECT_EQ(refusal_of(with_times({5, 5}, std::string(2, '\0')).bytes()), "its transitions are wrong");
  EXPECT_EQ(refusal_of(with_times({5, 4}, std::string(2, '\0')).bytes()), "its transitions are wrong");
  EXPECT_EQ(refusal_of(with_times({5}, "\1").bytes()), "its transitions are wrong");
  EXPECT_EQ(refusal_of(with_times({std::numeric_limits<std::int64_t>::max()}, std::string(1, '\0')).bytes()), "none");
}

TEST(ZoneFile, CutOffAnywhereIsRefused) {
  auto const whole = bytes_of("Europe/Berlin");
  ASSERT_EQ(refusal_of(whole), "none");
  for (std::size_t size = 0; size < whole.size(); ++size) EXPECT_NE(refusal_of(whole.substr(0, size)), "none") << size;
}

class ZoneFolder : public testing::Test {
 protected:
  void put(std::string const& name, std::string_view as) { folder_.write(name, bytes_of(as)); }
  std::string fault(std::string_view name) {
    auto const found = zones_.find(name);
    return found ? "none" : found.error().reason;
  }

  test::TempFolder folder_;
  Zones zones_{folder_.path()};
};

TEST_F(ZoneFolder, OfTheSystemHasAllIanaNamesSorted) {
  Zones zones;
  auto const& names = zones.names();
  EXPECT_GT(names.size(), 400u);
  EXPECT_TRUE(std::is_sorted(names.begin(), names.end()));
  for (auto const* name : {"UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+5", "Factory"})
    EXPECT_THAT(names, Contains(name));
  for (auto const* name : {"posixrules", "localtime", "tzdata.zi", "right/UTC", "posix/UTC", "Europe"})
    EXPECT_THAT(names, Not(Contains(name)));
  for (auto const& name : names) EXPECT_TRUE(zones.find(name)) << name;
}

TEST_F(ZoneFolder, TellsUnknownNamesFromMalformedOnes) {
  std::filesystem::create_directories(folder_.path() / "Europe");
  folder_.write("zone.tab", "# no zone\n");
  for (std::string const name : {"Mars/Olympus", "Europe", "zone.tab", "europe/berlin", "right/UTC", "localtime"})
    EXPECT_EQ(fault(name), "Invalid timezone: " + name);
  for (std::string const name : {"", "../UTC", "/etc/localtime", "Europe//Berlin", "./UTC", "Europe/../UTC", "Europe/"})
    EXPECT_EQ(fault(name), "ZoneInfo keys must be normalized relative paths, got: " + name);
  EXPECT_EQ(fault(std::string(zone_name_bytes_max + 1, 'a')).substr(0, 16), "Invalid timezone");
}

TEST_F(ZoneFolder, HasUtcAlsoWhereItIsEmpty) {
  ASSERT_TRUE(zones_.find("UTC"));
  EXPECT_EQ((*zones_.find("UTC"))->segments().size(), 1u);
  EXPECT_TRUE(zones_.names().empty());
  EXPECT_FALSE(zones_.has_changed());
}

TEST_F(ZoneFolder, SeesThatAFileWasReplacedAndGivesTheNewClocks) {
  put("Here", "Europe/Berlin");
  put("There", "Asia/Tokyo");
  auto const before = *zones_.find("Here");
  ASSERT_TRUE(zones_.find("There"));
  EXPECT_FALSE(zones_.has_changed());
  put("Here.new", "America/New_York");
  std::filesystem::rename(folder_.path() / "Here.new", folder_.path() / "Here");
  EXPECT_TRUE(zones_.has_changed());
  EXPECT_EQ(*zones_.find("Here"), before);
  auto const reloaded = zones_.reload();
  EXPECT_THAT(reloaded.changed, ElementsAre("Here"));
  EXPECT_TRUE(reloaded.unreadable.empty());
  EXPECT_FALSE(zones_.has_changed());
  EXPECT_FALSE((*zones_.find("Here"))->same_clocks(*before));
  EXPECT_EQ(before->name(), "Here");
}

TEST_F(ZoneFolder, SaysNothingOfAFileThatWasReplacedByTheSame) {
  put("Here", "Europe/Berlin");
  auto const before = *zones_.find("Here");
  put("Here.new", "Europe/Berlin");
  std::filesystem::rename(folder_.path() / "Here.new", folder_.path() / "Here");
  EXPECT_TRUE(zones_.has_changed());
  EXPECT_TRUE(zones_.reload().changed.empty());
  EXPECT_FALSE(zones_.has_changed());
  EXPECT_EQ(*zones_.find("Here"), before);
}

TEST_F(ZoneFolder, KeepsAZoneWhoseFileIsGoneOrBrokenAndSaysSoOnce) {
  put("Here", "Europe/Berlin");
  auto const before = *zones_.find("Here");
  std::filesystem::remove(folder_.path() / "Here");
  EXPECT_TRUE(zones_.has_changed());
  EXPECT_THAT(zones_.reload().unreadable, ElementsAre("Here"));
  EXPECT_FALSE(zones_.has_changed());
  EXPECT_EQ(*zones_.find("Here"), before);
  put("Here", "Asia/Tokyo");
  EXPECT_THAT(zones_.reload().changed, ElementsAre("Here"));
}

TEST_F(ZoneFolder, FindsWhatCameLater) {
  EXPECT_EQ(fault("New/Zone"), "Invalid timezone: New/Zone");
  EXPECT_TRUE(zones_.names().empty());
  std::filesystem::create_directories(folder_.path() / "New");
  put("New/Zone", "Asia/Tokyo");
  EXPECT_EQ(fault("New/Zone"), "none");
  std::filesystem::last_write_time(folder_.path(), std::filesystem::file_time_type::clock::now() + hours(1));
  EXPECT_TRUE(zones_.has_changed());
  zones_.reload();
  EXPECT_FALSE(zones_.has_changed());
  EXPECT_THAT(zones_.names(), ElementsAre("New/Zone"));
}

}  // namespace
}  // namespace nestgate::schedule
