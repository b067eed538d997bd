#include "api/automation/tarball.hpp"

#include <gtest/gtest.h>
#include <zlib.h>

#include <fstream>
#include <sstream>

#include "support/temp_folder.hpp"

namespace nestgate::api {
namespace {

constexpr std::chrono::sys_seconds noon{std::chrono::seconds(1'780'000'000)};
constexpr TarLimits roomy{.bytes_max = 8 * 1024 * 1024, .entries_max = 100};

std::string gzip(std::string_view bytes) {
  z_stream stream{};
  deflateInit2(&stream, 9, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&stream, bytes.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

std::vector<TarFile> two_files() {
  std::vector<TarFile> out;
  out.push_back({"prompt.txt", "Say hello", 0644});
  out.push_back({"setup.sh", std::string(1500, '#'), 0755});
  return out;
}

// What tar itself makes of files, folders, links and long names, in the form that it is told.
std::string archive_of_tar(test::TempFolder const& folder, std::string const& form) {
  std::string const root = folder.path().string();
  std::string const deep = root + "/in/" + std::string(90, 'd') + "/" + std::string(90, 'e');
  std::string const make = "mkdir -p '" + deep + "' && cd '" + root + "/in' && echo old > prompt.txt && echo x > '" + deep +
                           "/f' && chmod 755 '" + deep + "/f' && ln -sf prompt.txt link && tar --format=" + form +
                           " -czf ../out.tar.gz .";
  EXPECT_EQ(std::system(make.c_str()), 0);
  std::ifstream in(root + "/out.tar.gz", std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

TEST(Tarball, IsReadBackAsItWasWritten) {
  auto const back = read_tar_gz(write_tar_gz(two_files(), noon), roomy);
  ASSERT_TRUE(back);
  ASSERT_EQ(back->size(), 2U);
  EXPECT_EQ((*back)[0].name, "prompt.txt");
  EXPECT_EQ((*back)[0].bytes, "Say hello");
  EXPECT_EQ((*back)[0].mode, 0644U);
  EXPECT_EQ((*back)[1].bytes, std::string(1500, '#'));
  EXPECT_EQ((*back)[1].mode, 0755U);
}

TEST(Tarball, IsTakenByTar) {
  test::TempFolder const folder;
  std::ofstream(folder.path() / "a.tar.gz", std::ios::binary) << write_tar_gz(two_files(), noon);
  std::string const unpack = "cd '" + folder.path().string() + "' && tar xzf a.tar.gz 2> told && test ! -s told";
  EXPECT_EQ(std::system(unpack.c_str()), 0);
  std::ifstream prompt(folder.path() / "prompt.txt");
  std::string text;
  std::getline(prompt, text);
  EXPECT_EQ(text, "Say hello");
  EXPECT_EQ(std::filesystem::status(folder.path() / "setup.sh").permissions(), std::filesystem::perms(0755));
}

TEST(Tarball, OfTarIsReadInEveryForm) {
  for (auto const* form : {"ustar", "gnu", "posix", "oldgnu"}) {
    test::TempFolder const folder;
    auto const files = read_tar_gz(archive_of_tar(folder, form), roomy);
    ASSERT_TRUE(files) << form;
    ASSERT_EQ(files->size(), 2U) << form;
    auto const& deep = (*files)[0].bytes == "x\n" ? (*files)[0] : (*files)[1];
    EXPECT_EQ(deep.name, "./" + std::string(90, 'd') + "/" + std::string(90, 'e') + "/f") << form;
    EXPECT_EQ(deep.bytes, "x\n");
    EXPECT_EQ(deep.mode, 0755U);
  }
}

TEST(Tarball, KeepsAllButTheOneFileThatIsReplaced) {
  for (auto const* form : {"ustar", "gnu", "posix"}) {
    test::TempFolder const folder;
    auto const old = archive_of_tar(folder, form);
    std::string const prompt(5000, 'p');
    auto const changed = with_file(old, "prompt.txt", prompt, roomy);
    ASSERT_TRUE(changed) << form;
    std::ofstream(folder.path() / "new.tar.gz", std::ios::binary) << *changed;
    std::string const root = folder.path().string();
    std::string const compare = "cd '" + root + "' && mkdir out && tar xzf new.tar.gz -C out && printf '" + prompt +
                                "' > in/prompt.txt && diff -r --no-dereference in out && test -L out/link";
    EXPECT_EQ(std::system(compare.c_str()), 0) << form;
    auto const again = with_file(*changed, "prompt.txt", "old\n", roomy);
    ASSERT_TRUE(again);
    EXPECT_EQ(read_tar_gz(*again, roomy)->size(), read_tar_gz(old, roomy)->size());
  }
}

TEST(Tarball, WithoutThatFileIsNotChanged) {
  EXPECT_FALSE(with_file(write_tar_gz(two_files(), noon), "prompt", "x", roomy));
  EXPECT_FALSE(with_file(write_tar_gz({}, noon), "prompt.txt", "x", roomy));
}

TEST(Tarball, IsRefusedBeyondItsLimits) {
  auto const archive = write_tar_gz(two_files(), noon);
  EXPECT_FALSE(read_tar_gz(archive, {.bytes_max = 10'239, .entries_max = 2}));
  EXPECT_TRUE(read_tar_gz(archive, {.bytes_max = 10'240, .entries_max = 2}));
  EXPECT_FALSE(read_tar_gz(archive, {.bytes_max = 10'240, .entries_max = 1}));
  EXPECT_FALSE(read_tar_gz(gzip(std::string(64 * 1024 * 1024, '\0')), roomy)) << "a small archive of much nothing";
}

TEST(Tarball, IsRefusedWhereItIsCutOrBent) {
  auto const archive = write_tar_gz(two_files(), noon);
  for (std::size_t size = 0; size < archive.size(); ++size)
    EXPECT_FALSE(read_tar_gz(archive.substr(0, size), roomy)) << size;
  EXPECT_FALSE(read_tar_gz("no archive", roomy));
  EXPECT_FALSE(read_tar_gz(archive + "more", roomy));
  EXPECT_TRUE(read_tar_gz(archive + std::string(3, '\0'), roomy)) << "padding is not of it";
  EXPECT_FALSE(read_tar_gz(gzip("a text that is no tar"), roomy));
  EXPECT_FALSE(read_tar_gz(gzip(std::string(512, 'a')), roomy)) << "a header with a wrong sum";
}

TEST(Tarball, MayBeOfSeveralGzipMembers) {
  auto const archive = write_tar_gz(two_files(), noon);
  // The empty member first: gzip's own rule of what is put together.
  auto const files = read_tar_gz(gzip("") + archive, roomy);
  ASSERT_TRUE(files);
  EXPECT_EQ(files->size(), 2U);
}

// A header of a file that claims `size`, in octal or in base 256, and whose sum is right.
std::string claiming(std::string_view size) {
  std::string header(512, '\0');
  header.replace(0, 10, "prompt.txt");
  header.replace(124, size.size(), size);
  header[156] = '0';
  std::uint64_t sum = 8 * 32;
  for (char const c : header) sum += static_cast<unsigned char>(c);
  std::ostringstream digits;
  digits << std::oct << sum;
  header.replace(148, digits.str().size(), digits.str());
  return header;
}

TEST(Tarball, IsRefusedWhereASizeIsNotTrue) {
  using namespace std::string_view_literals;
  for (auto const size : {"77777777777"sv, "1000"sv, "9"sv, "\x80\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff"sv,
                          "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"sv, "-1"sv})
    EXPECT_FALSE(read_tar_gz(gzip(claiming(size)), roomy)) << size;
  EXPECT_TRUE(read_tar_gz(gzip(claiming("0")), roomy));
}

}  // namespace
}  // namespace nestgate::api
