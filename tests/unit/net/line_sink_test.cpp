#include "nestgate/net/line_sink.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace nestgate {
namespace {

using namespace std::chrono_literals;

class LineSinkFile : public testing::Test {
 protected:
  LineSinkFile() {
    auto name = (std::filesystem::temp_directory_path() / "nestgate-lines-XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
  }
  ~LineSinkFile() override { std::filesystem::remove_all(folder_); }
  std::filesystem::path path() const { return folder_ / "access.log"; }
  static std::string content(std::filesystem::path const& path) {
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
  }

  std::filesystem::path folder_;
};

TEST_F(LineSinkFile, WritesEveryLineOfEveryProducerBeforeItEnds) {
  {
    auto sink = LineSink::to_file(path(), {});
    ASSERT_TRUE(sink);
    std::vector<std::thread> cores;
    for (int core = 0; core < 4; ++core) {
      cores.emplace_back([&sink, core] {
        LineBuffer lines(**sink);
        for (int i = 0; i < 5'000; ++i) lines.append("core " + std::to_string(core) + " line " + std::to_string(i));
      });
    }
    for (auto& core : cores) core.join();
  }
  std::array<int, 4> next{};
  std::ifstream in(path());
  for (std::string word, middle; in >> word;) {
    std::size_t core = 0;
    int line = 0;
    in >> core >> middle >> line;
    ASSERT_LT(core, next.size());
    EXPECT_EQ(line, next[core]++);
  }
  EXPECT_EQ(next, (std::array<int, 4>{5'000, 5'000, 5'000, 5'000}));
}

TEST_F(LineSinkFile, WritesToTheNewFileAfterReopen) {
  auto const rotated = folder_ / "access.log.1";
  {
    auto sink = LineSink::to_file(path(), {});
    ASSERT_TRUE(sink);
    LineBuffer lines(**sink);
    lines.append("before");
    lines.flush();
    while (content(path()).empty()) std::this_thread::yield();
    std::filesystem::rename(path(), rotated);
    (*sink)->reopen();
    lines.append("after");
  }
  EXPECT_EQ(content(rotated), "before\n");
  EXPECT_EQ(content(path()), "after\n");
}

TEST_F(LineSinkFile, KeepsTheOldFileWhenTheNewOneCannotBeOpened) {
  auto const rotated = folder_ / "rotated" / "access.log";
  {
    auto sink = LineSink::to_file(path(), {});
    ASSERT_TRUE(sink);
    std::filesystem::create_directory(folder_ / "rotated");
    std::filesystem::rename(path(), rotated);
    std::filesystem::create_directory(path());  // a folder in the file's place
    (*sink)->reopen();
    LineBuffer lines(**sink);
    lines.append("still written");
    lines.flush();
    while ((*sink)->write_failures() == 0) std::this_thread::yield();
  }
  EXPECT_EQ(content(rotated), "still written\n");
}

TEST_F(LineSinkFile, IsReadableByOwnerAndGroupOnly) {
  auto const old_mask = ::umask(0);
  auto sink = LineSink::to_file(path(), {});
  ::umask(old_mask);
  ASSERT_TRUE(sink);
  struct stat status{};
  ASSERT_EQ(::stat(path().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0640u);
}

TEST_F(LineSinkFile, RefusesAPathThatCannotBeOpened) {
  auto sink = LineSink::to_file(folder_ / "missing" / "access.log", {});
  ASSERT_FALSE(sink);
  EXPECT_EQ(sink.error().kind, FaultKind::bad_input);
  EXPECT_EQ(sink.error().cause.value(), ENOENT);
}

TEST(LineSink, DropsWholeBuffersBeyondItsBacklogAndEndsThoughNobodyReads) {
  std::array<int, 2> pipe_ends{};
  ASSERT_EQ(::pipe(pipe_ends.data()), 0);
  std::uint64_t dropped = 0;
  {
    auto sink = LineSink::to_descriptor(pipe_ends[1], {.backlog_bytes_max = 256 * 1024, .finish_grace = 1ms});
    LineBuffer lines(*sink);
    std::string const line(1'023, 'x');
    for (int i = 0; i < 1'024; ++i) lines.append(line);
    dropped = sink->lines_dropped();
  }
  // 1 MiB came; 256 KiB may wait, 64 KiB fit the pipe, and one buffer may be in the writer's hands.
  EXPECT_GE(dropped, 1'024u - 256 - 64 - 64);
  EXPECT_EQ(dropped % 64, 0u);
  ::close(pipe_ends[0]);
  ::close(pipe_ends[1]);
}

TEST(LineSink, WritesWholeLinesOnAPipeSoThatOtherWritersCannotSplitThem) {
  std::array<int, 2> pipe_ends{};
  ASSERT_EQ(::pipe2(pipe_ends.data(), O_DIRECT | O_CLOEXEC), 0);  // packet mode: one read gives one write
  auto sink = LineSink::to_descriptor(pipe_ends[1], {});
  LineBuffer lines(*sink);
  for (int i = 0; i < 40; ++i) lines.append(std::string(700, 'a'));
  lines.flush();
  std::size_t seen = 0;
  std::array<char, 8192> packet{};
  while (seen < 40 * 701) {
    auto const got = ::read(pipe_ends[0], packet.data(), packet.size());
    ASSERT_GT(got, 0);
    EXPECT_LE(got, 4096);
    EXPECT_EQ(packet[static_cast<std::size_t>(got) - 1], '\n');
    seen += static_cast<std::size_t>(got);
  }
  sink.reset();
  ::close(pipe_ends[0]);
  ::close(pipe_ends[1]);
}

TEST(LineSink, TakesLinesThatGoNowhere) {
  auto sink = LineSink::nowhere();
  LineBuffer lines(*sink);
  lines.append("unheard");
  lines.flush();
  EXPECT_TRUE(lines.text().empty());
  EXPECT_EQ(sink->lines_dropped(), 0u);
}

}  // namespace
}  // namespace nestgate
