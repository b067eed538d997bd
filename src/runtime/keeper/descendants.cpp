#include "descendants.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <utility>

namespace {

constexpr int found_max = 65536;
pid_t found[found_max];  // pages that are never needed are never there
int found_count = 0;

int add_found(pid_t pid) {
  if (found_count < found_max) found[found_count++] = pid;
  return 1;
}

struct KernelEntry {
  std::uint64_t inode;
  std::int64_t offset;
  std::uint16_t size;
  unsigned char type;
  char name[1];
};

// A thread's children are listed with it, not with its process.
void add_children_of(pid_t pid) {
  char path[64];
  ::snprintf(path, sizeof path, "/proc/%d/task", pid);
  int const tasks = ::open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (tasks < 0) return;
  alignas(KernelEntry) char entries[2048];
  for (long size; (size = ::syscall(SYS_getdents64, tasks, entries, sizeof entries)) > 0;)
    for (long at = 0; at < size;) {
      auto const* const entry = reinterpret_cast<KernelEntry const*>(entries + at);
      at += entry->size;
      if (entry->name[0] == '.') continue;
      ::snprintf(path, sizeof path, "%.20s/children", entry->name);
      for_each_in_list(tasks, path, add_found);
    }
  ::close(tasks);
}

void find_descendants() {
  found_count = 0;
  for_each_in_list(AT_FDCWD, "/proc/thread-self/children", add_found);
  for (int i = 0; i < found_count; ++i) add_children_of(found[i]);
}

// As /proc says; X (dead) when there is none such.
char state_of(pid_t pid) {
  char path[64];
  ::snprintf(path, sizeof path, "/proc/%d/stat", pid);
  int const file = ::open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return 'X';
  char text[512];
  ssize_t const size = ::read(file, text, sizeof text - 1);
  ::close(file);
  if (size <= 0) return 'X';
  text[size] = '\0';
  char const* const name_end = ::strrchr(text, ')');
  return name_end && name_end[1] == ' ' ? name_end[2] : 'X';
}

}  // namespace

int for_each_in_list(int folder, char const* name, int (*act)(pid_t)) {
  int const list = ::openat(folder, name, O_RDONLY | O_CLOEXEC);
  if (list < 0) return 0;
  int sum = 0;
  pid_t pid = 0;
  char text[4096];
  for (ssize_t size; (size = ::read(list, text, sizeof text)) > 0;)
    for (ssize_t i = 0; i < size; ++i) {
      if (text[i] >= '0' && text[i] <= '9') {
        pid = pid * 10 + (text[i] - '0');
      } else if (auto const next = std::exchange(pid, 0); next > 0) {
        sum += act(next);
      }
    }
  ::close(list);
  return sum;
}

int stop_descendants() {
  find_descendants();
  int moving = 0;
  for (int i = 0; i < found_count; ++i) {
    char const state = state_of(found[i]);
    if (::strchr("TtZX", state)) continue;
    ::kill(found[i], SIGSTOP);
    if (state != 'D') ++moving;  // one that waits for a disk, or for a child that stands, stops before it does anything
  }
  return moving;
}

void continue_descendants() {
  find_descendants();
  for (int i = 0; i < found_count; ++i) ::kill(found[i], SIGCONT);
}
