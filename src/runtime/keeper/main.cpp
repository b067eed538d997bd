// nestgate-keeper PROGRAM ARGV0 [ARGUMENT...]
//
// Stands between the gateway and one server that it starts. It is the subreaper of all that descends from the server, so
// what leaves the session or daemonises is found as well. A program of its own, without a heap: a fork of the gateway would
// keep alive every page that the gateway has changed since.

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <utility>

#include "runtime/keeper_line.hpp"

namespace {

using nestgate::runtime::keeper_line;

struct Server {
  pid_t pid;
  int status = 0;
  bool is_reaped = false;
};

// The gateway may be gone: then nobody wants to know.
void tell(int value) { [[maybe_unused]] auto const told = ::send(keeper_line, &value, sizeof value, MSG_NOSIGNAL); }

[[noreturn]] void become_server(char** command, pid_t keeper, int trouble) {
  sigset_t none;
  ::sigemptyset(&none);
  // The keeper may be killed (out of memory): then the server at least goes with it.
  if (::setsid() >= 0 && ::prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && ::getppid() == keeper &&
      ::sigprocmask(SIG_SETMASK, &none, nullptr) == 0)
    ::execve(command[0], command + 1, environ);
  int const error = errno;
  [[maybe_unused]] auto const told = ::write(trouble, &error, sizeof error);
  ::_exit(127);
}

// errno, 0 when the server runs.
int start(char** command, Server& server) {
  int trouble[2];
  if (::pipe2(trouble, O_CLOEXEC) != 0) return errno;
  pid_t const keeper = ::getpid();
  server.pid = ::fork();
  if (server.pid < 0) return errno;
  if (server.pid == 0) become_server(command, keeper, trouble[1]);
  ::close(trouble[1]);
  int error = 0;
  [[maybe_unused]] auto const told = ::read(trouble[0], &error, sizeof error);  // nothing comes when exec closed it
  ::close(trouble[0]);
  if (error != 0) ::waitpid(server.pid, nullptr, 0);
  return error;
}

// What the keeper itself holds of the server: its secrets, its output, its folder.
void let_go() {
  for (char** variable = environ; *variable; ++variable) ::explicit_bzero(*variable, ::strlen(*variable));
  ::dup2(STDIN_FILENO, STDOUT_FILENO);
  ::dup2(STDIN_FILENO, STDERR_FILENO);
  [[maybe_unused]] auto const moved = ::chdir("/");
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

// Returns when all is to end: the server did, or the gateway says so or is gone.
void watch(Server& server, int child_ended) {
  pollfd watched[] = {{keeper_line, POLLIN, 0}, {child_ended, POLLIN, 0}};
  while (!server.is_reaped) {
    if (::poll(watched, 2, -1) < 0) continue;
    if (watched[1].revents != 0) {
      signalfd_siginfo info;
      [[maybe_unused]] auto const taken = ::read(child_ended, &info, sizeof info);
      while (reap(server, WNOHANG)) {
      }
    }
    if (watched[0].revents != 0 && !server.is_reaped) {
      char signal = 0;
      if (::read(keeper_line, &signal, 1) != 1 || signal == SIGKILL) return;
      ::kill(-server.pid, signal);
    }
  }
}

// Kills this process's children; how many that could be done to. A child of another user (sudo) is not ours to end.
int kill_children() {
  int const list = ::open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC);
  if (list < 0) return 0;
  int killed = 0;
  pid_t pid = 0;
  char text[4096];
  for (ssize_t size; (size = ::read(list, text, sizeof text)) > 0;)
    for (ssize_t i = 0; i < size; ++i) {
      if (text[i] >= '0' && text[i] <= '9') {
        pid = pid * 10 + (text[i] - '0');
      } else if (auto const child = std::exchange(pid, 0); child > 0 && ::kill(child, SIGKILL) == 0) {
        ++killed;
      }
    }
  ::close(list);
  return killed;
}

// What a killed child leaves becomes ours, generation by generation.
void end_all(Server& server) {
  if (!server.is_reaped) ::kill(-server.pid, SIGKILL);
  while (kill_children() > 0) {
    reap(server, 0);
    while (reap(server, WNOHANG)) {
    }
  }
  while (!server.is_reaped && reap(server, 0)) {
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3 || ::fcntl(keeper_line, F_SETFD, FD_CLOEXEC) != 0) return 2;  // the gateway starts this, nobody else
  // Blocked for good: only the line ends a keeper.
  sigset_t all, children;
  ::sigfillset(&all);
  ::sigprocmask(SIG_SETMASK, &all, nullptr);
  ::sigemptyset(&children);
  ::sigaddset(&children, SIGCHLD);
  int const child_ended = ::signalfd(-1, &children, SFD_CLOEXEC);
  Server server{};
  int error = child_ended < 0 || ::prctl(PR_SET_CHILD_SUBREAPER, 1) != 0 ? errno : start(argv + 1, server);
  let_go();
  tell(error);
  if (error != 0) return 1;
  watch(server, child_ended);
  end_all(server);
  tell(server.status);
  return 0;
}
