// nestgate-keeper FOLDERS FREEZER
//
// Stands between the gateway and one server that it starts. It is the subreaper of all that descends from the server, so
// what leaves the session or daemonises is found as well. A program of its own, without a heap: a fork of the gateway would
// keep alive every page that the gateway has changed since. keeper_line.hpp says what it is told and tells.

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <utility>

#include "descendants.hpp"
#include "runtime/keeper_line.hpp"

namespace {

using namespace nestgate::runtime;

constexpr int tries_max = 2000;  // a millisecond each, for a pause

struct Server {
  pid_t pid;
  int status = 0;
  bool is_reaped = false;
  bool is_paused = false;
};

struct Groups {
  int folders;
  Freezer freezer;
  int freezer_folder() const { return keeper_line + folders; }
};

// The gateway may be gone: then nobody wants to know.
void tell(Told what, int value) {
  Report const report{what, value};
  [[maybe_unused]] auto const told = ::send(keeper_line, &report, sizeof report, MSG_NOSIGNAL);
}

void wait_a_little() { ::poll(nullptr, 0, 1); }

// errno, 0 when it was written.
int write_file(int folder, char const* name, char const* text) {
  int const file = ::openat(folder, name, O_WRONLY | O_CLOEXEC);
  if (file < 0) return errno;
  int const error = ::write(file, text, ::strlen(text)) < 0 ? errno : 0;
  ::close(file);
  return error;
}

bool file_holds(int folder, char const* name, char const* text) {
  int const file = ::openat(folder, name, O_RDONLY | O_CLOEXEC);
  if (file < 0) return false;
  char content[256];
  ssize_t const size = ::read(file, content, sizeof content - 1);
  ::close(file);
  if (size < 0) return false;
  content[size] = '\0';
  return ::strstr(content, text) != nullptr;
}

int freeze(Groups const& groups) {
  return groups.freezer == Freezer::v1 ? write_file(groups.freezer_folder(), "freezer.state", "FROZEN")
                                       : write_file(groups.freezer_folder(), "cgroup.freeze", "1");
}

int thaw(Groups const& groups) {
  return groups.freezer == Freezer::v1 ? write_file(groups.freezer_folder(), "freezer.state", "THAWED")
                                       : write_file(groups.freezer_folder(), "cgroup.freeze", "0");
}

bool is_frozen(Groups const& groups) {
  return groups.freezer == Freezer::v1 ? file_holds(groups.freezer_folder(), "freezer.state", "FROZEN")
                                       : file_holds(groups.freezer_folder(), "cgroup.events", "frozen 1");
}

int pause(Groups const& groups) {
  for (int left = tries_max; left > 0; --left) {
    if (groups.freezer == Freezer::none) {
      if (!stop_descendants()) return 0;
    } else {
      if (int const error = freeze(groups); error != 0) return error;
      if (is_frozen(groups)) return 0;
    }
    wait_a_little();
  }
  return EBUSY;
}

int resume(Groups const& groups) {
  if (groups.freezer != Freezer::none) return thaw(groups);
  continue_descendants();
  return 0;
}

struct Received {
  int output = -1;
  int file = -1;
};

// Waits for the message that says what to run; nothing when the gateway does not want it any more.
Received receive_launch() {
  Received out;
  char byte = 0;
  iovec data{&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(2 * sizeof(int))];
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  if (::recvmsg(keeper_line, &message, MSG_CMSG_CLOEXEC) != 1) return out;
  cmsghdr const* const head = CMSG_FIRSTHDR(&message);
  if (!head || head->cmsg_type != SCM_RIGHTS || head->cmsg_len != CMSG_LEN(2 * sizeof(int))) return out;
  int passed[2];
  ::memcpy(passed, CMSG_DATA(head), sizeof passed);
  return {passed[0], passed[1]};
}

// Ends an array of `count` strings that lie one behind the other at `text`, which is moved behind them.
char** take_strings(char**& free, char*& text, unsigned count) {
  char** const out = free;
  for (unsigned i = 0; i < count; ++i) {
    *free++ = text;
    text += ::strlen(text) + 1;
  }
  *free++ = nullptr;
  return out;
}

// Returns only when it fails, with errno set.
void execute(Received const& received) {
  struct stat info{};
  if (::fstat(received.file, &info) != 0) return;
  auto const size = static_cast<std::size_t>(info.st_size);
  void* const memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, received.file, 0);
  if (memory == MAP_FAILED) return;
  auto const& head = *static_cast<LaunchHead const*>(memory);
  std::size_t const pointers = (head.arguments + head.variables + 2) * sizeof(char*);
  void* const table = ::mmap(nullptr, pointers, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (table == MAP_FAILED) return;
  char* text = static_cast<char*>(memory) + sizeof head;
  char const* const program = text;
  char const* const directory = program + ::strlen(program) + 1;
  text += (directory - program) + static_cast<std::ptrdiff_t>(::strlen(directory)) + 1;
  auto** free = static_cast<char**>(table);
  char** const arguments = take_strings(free, text, head.arguments);
  char** const variables = take_strings(free, text, head.variables);

  if (::dup2(received.output, STDOUT_FILENO) < 0 || ::dup2(received.output, STDERR_FILENO) < 0) return;
  if (::chdir(directory) != 0) return;
  for (unsigned i = 0; i < head.limits; ++i) {
    rlimit const limit{head.limit[i].value, head.limit[i].value};
    if (::setrlimit(static_cast<__rlimit_resource>(head.limit[i].resource), &limit) != 0) return;
  }
  ::umask(077);
  ::execve(program, arguments, variables);
}

// Takes its place before it is anything else: what it starts later is in the same groups by birth.
int join(Groups const& groups) {
  for (int i = 1; i <= groups.folders; ++i)
    if (int const error = write_file(keeper_line + i, "cgroup.procs", "0"); error != 0) return error;
  return 0;
}

[[noreturn]] void become_server(Groups const& groups, pid_t keeper, int trouble) {
  sigset_t none;
  ::sigemptyset(&none);
  // The keeper may be killed: then the server at least goes with it.
  int error = ::setsid() < 0 || ::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 ? errno : ::getppid() == keeper ? 0 : ESRCH;
  if (error == 0) error = join(groups);
  tell(Told::seated, error);
  if (error == 0) {
    auto const received = receive_launch();
    errno = ECANCELED;
    if (received.file >= 0 && ::sigprocmask(SIG_SETMASK, &none, nullptr) == 0) execute(received);
    error = errno;
  }
  [[maybe_unused]] auto const told = ::write(trouble, &error, sizeof error);
  ::_exit(127);
}

// Returns once the server runs, with 0, or is not to be, with errno.
int start(Groups const& groups, Server& server) {
  int trouble[2];
  if (::pipe2(trouble, O_CLOEXEC) != 0) return errno;
  pid_t const keeper = ::getpid();
  server.pid = ::fork();
  if (server.pid < 0) return errno;
  if (server.pid == 0) become_server(groups, keeper, trouble[1]);
  ::close(trouble[1]);
  int error = 0;
  [[maybe_unused]] auto const told = ::read(trouble[0], &error, sizeof error);  // nothing comes when exec closed it
  ::close(trouble[0]);
  if (error != 0) ::waitpid(server.pid, nullptr, 0);
  return error;
}

// Reaps a child; whether there was one.
bool reap(Server& server, int options) {
  int status = 0;
  pid_t const pid = ::waitpid(-1, &status, options);
  if (pid == server.pid) {
    server.status = status;
    server.is_reaped = true;
  }
  return pid > 0;
}

void set_paused(Groups const& groups, Server& server, bool paused) {
  int error = 0;
  if (server.is_paused != paused) error = paused ? pause(groups) : resume(groups);
  if (error == 0) {
    server.is_paused = paused;
  } else if (paused) {
    resume(groups);
  }
  tell(paused ? Told::paused : Told::resumed, error);
}

// Obeys one order; false: all is to end.
bool obey(Groups const& groups, Server& server) {
  unsigned char order = 0;
  if (::read(keeper_line, &order, 1) != 1 || order == SIGKILL) return false;
  if (order == order_pause) {
    set_paused(groups, server, true);
  } else {
    if (order == order_resume || server.is_paused) set_paused(groups, server, false);
    if (order != order_resume) ::kill(-server.pid, order);
  }
  return true;
}

// Returns when all is to end: the server did, or the gateway says so or is gone.
void watch(Groups const& groups, Server& server, int child_ended) {
  pollfd watched[] = {{keeper_line, POLLIN, 0}, {child_ended, POLLIN, 0}};
  while (!server.is_reaped) {
    if (::poll(watched, 2, -1) < 0) continue;
    if (watched[1].revents != 0) {
      signalfd_siginfo info;
      [[maybe_unused]] auto const taken = ::read(child_ended, &info, sizeof info);
      while (reap(server, WNOHANG)) {
      }
    }
    if (watched[0].revents != 0 && !server.is_reaped && !obey(groups, server)) return;
  }
}

int kill_one(pid_t pid) { return ::kill(pid, SIGKILL) == 0 ? 1 : 0; }

// All at once, so that nothing can fork its way out: while it stands still it is killed. Version 1 lets what is frozen die
// when it is thawed.
void kill_group(Groups const& groups) {
  if (groups.freezer == Freezer::none) return;
  if (groups.freezer == Freezer::v2 && write_file(groups.freezer_folder(), "cgroup.kill", "1") == 0) return;
  for (int left = tries_max; freeze(groups) == 0 && left > 0; --left) {
    bool const all_stand = is_frozen(groups);
    for_each_in_list(groups.freezer_folder(), "cgroup.procs", kill_one);
    if (all_stand) break;
    wait_a_little();
  }
  thaw(groups);
}

// What a killed child leaves becomes ours, generation by generation. A child of another user (sudo) is not ours to end.
void end_all(Groups const& groups, Server& server) {
  kill_group(groups);
  if (!server.is_reaped) ::kill(-server.pid, SIGKILL);
  while (for_each_in_list(AT_FDCWD, "/proc/thread-self/children", kill_one) > 0) {
    reap(server, 0);
    while (reap(server, WNOHANG)) {
    }
  }
  while (!server.is_reaped && reap(server, 0)) {
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3 || ::fcntl(keeper_line, F_SETFD, FD_CLOEXEC) != 0) return 2;  // the gateway starts this, nobody else
  Groups const groups{argv[1][0] - '0', static_cast<Freezer>(argv[2][0])};
  for (int i = 1; i <= groups.folders; ++i) ::fcntl(keeper_line + i, F_SETFD, FD_CLOEXEC);
  // Blocked for good: only the line ends a keeper.
  sigset_t all, children;
  ::sigfillset(&all);
  ::sigprocmask(SIG_SETMASK, &all, nullptr);
  ::sigemptyset(&children);
  ::sigaddset(&children, SIGCHLD);
  int const child_ended = ::signalfd(-1, &children, SFD_CLOEXEC);
  Server server{};
  int const error = child_ended < 0 || ::prctl(PR_SET_CHILD_SUBREAPER, 1) != 0 ? errno : start(groups, server);
  tell(Told::started, error);
  if (error != 0) return 1;
  watch(groups, server, child_ended);
  end_all(groups, server);
  tell(Told::ended, server.status);
  return 0;
}
