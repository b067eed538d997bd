#include <elf.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>

#include "unit/nestlet/support.hpp"

// The program itself, as a runtime starts it.
namespace nestgate::nestlet::testing {
namespace {

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define NESTLET_SANITIZED
#endif
#endif

class Program {
 public:
  explicit Program(std::vector<std::string> arguments, std::vector<std::string> environment = {}) {
    std::vector<char*> argv{const_cast<char*>("nestlet")};
    for (auto& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    environment.emplace_back("PATH=/usr/bin:/bin");
    environment.emplace_back("ASAN_OPTIONS=detect_leaks=0");  // it may not be traced, so it cannot look for leaks
    std::vector<char*> envp;
    for (auto& entry : environment) envp.push_back(entry.data());
    envp.push_back(nullptr);
    int ends[2] = {};
    EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    errors_ = Fd(ends[0]);
    Fd const theirs(ends[1]);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::dup2(theirs.get(), STDERR_FILENO);
      ::execve(NESTLET_PROGRAM, argv.data(), envp.data());
      ::_exit(127);
    }
  }
  ~Program() {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
    }
  }
  pid_t pid() const { return pid_; }
  int wait() {
    int status = 0;
    ::waitpid(std::exchange(pid_, -1), &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
  std::string errors() {
    std::string out(4096, '\0');
    auto const n = ::read(errors_.get(), out.data(), out.size());
    out.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
    return out;
  }

 private:
  Fd errors_;
  pid_t pid_ = -1;
};

struct Served {
  explicit Served(std::vector<std::string> environment = {"SESSION_API_KEY=k1"}, std::vector<std::string> more = {})
      : program(arguments(std::move(more)), std::move(environment)) {
    while (!std::filesystem::exists(directory.path("ready"))) std::this_thread::yield();
    ready = boost::json::parse(read_file(directory.path("ready"))).as_object();
    std::string const at(ready.at("listen").at(0).as_string());
    port = static_cast<std::uint16_t>(std::stoi(at.substr(at.rfind(':') + 1)));
  }
  std::vector<std::string> arguments(std::vector<std::string> more) const {
    std::vector<std::string> out{"--listen",       "127.0.0.1:0",  "--workspace",
                                 directory.path(), "--ready-file", directory.path("ready")};
    out.insert(out.end(), more.begin(), more.end());
    return out;
  }
  std::string shell(std::string_view command, Fields const& fields = key_field) const {
    boost::json::object const body{{"command", command}};
    auto const reply = Client(port).request("POST", "/api/bash/execute_bash_command", boost::json::serialize(body), fields);
    EXPECT_EQ(reply.status, 200u) << reply.body;
    auto const output = reply.json();
    return output.at("stdout").is_string() ? std::string(output.at("stdout").as_string()) : "";
  }

  // The process that serves; the one that was started watches over it.
  pid_t server() const {
    auto const pid = std::to_string(program.pid());
    return std::stoi(read_file("/proc/" + pid + "/task/" + pid + "/children"));
  }

  TemporaryDirectory directory;
  Program program;
  boost::json::object ready;
  std::uint16_t port = 0;
};

[[maybe_unused]] std::size_t memory_kb(pid_t pid, std::string_view which) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(which)) return std::stoul(line.substr(which.size() + 1));
  }
  return 0;
}

bool alive(pid_t pid) {
  auto const stat = read_file("/proc/" + std::to_string(pid) + "/stat");
  return !stat.empty() && stat.find(") Z ") == std::string::npos;
}

TEST(Program, WritesItsReadyFileAndStopsCleanlyOnSigterm) {
  Served served;
  EXPECT_EQ(served.ready.at("pid"), served.program.pid());
  EXPECT_EQ(Client(served.port).request("GET", "/alive").status, 200u);
  ::kill(served.program.pid(), SIGTERM);
  EXPECT_EQ(served.program.wait(), 0);
}

#ifndef NESTLET_SANITIZED
TEST(Program, IsStaticallyLinked) {
  std::string image(4096, '\0');  // the headers come first
  std::ifstream(NESTLET_PROGRAM, std::ios::binary).read(image.data(), static_cast<std::streamsize>(image.size()));
  Elf64_Ehdr header;
  ASSERT_GT(image.size(), sizeof header);
  std::memcpy(&header, image.data(), sizeof header);
  for (std::size_t i = 0; i < header.e_phnum; ++i) {
    Elf64_Phdr segment;
    ASSERT_LE(header.e_phoff + (i + 1) * sizeof segment, image.size());
    std::memcpy(&segment, image.data() + header.e_phoff + i * sizeof segment, sizeof segment);
    EXPECT_NE(segment.p_type, static_cast<Elf64_Word>(PT_INTERP)) << "it asks for a dynamic linker";
  }
}

TEST(Program, IsSmallWhenIdleAndStaysSoWhileBigFilesPass) {
  Served served;
  constexpr std::size_t idle_kb_max = 10 * 1024;
  auto const both_kb = [&](std::string_view which) {
    return memory_kb(served.program.pid(), which) + memory_kb(served.server(), which);
  };
  EXPECT_LT(both_kb("VmRSS:"), idle_kb_max);
  constexpr std::size_t size = 64 * 1024 * 1024;
  auto const path = served.directory.path("big");
  Client client(served.port);
  std::string const data(size, 'x');
  auto const up = client.request("POST", "/api/file/upload?path=" + path, multipart(data), multipart_fields());
  EXPECT_EQ(up.status, 200u) << up.body;
  EXPECT_EQ(std::filesystem::file_size(path), size);
  EXPECT_TRUE(client.request("GET", "/api/file/download?path=" + path, "", key_field).body == data);
  EXPECT_LT(both_kb("VmHWM:"), idle_kb_max) << "the most it ever had";
}
#endif

TEST(Program, HidesItsKeysFromCommandsAndFromItsOwnEnvironment) {
  Served served({"OH_SESSION_API_KEYS_0=k1", "OH_SESSION_API_KEYS_1=k2", "SESSION_API_KEY=old-secret",
                 "OH_SECRET_KEY=deep-secret", "KEPT=yes", "AI_AGENT=another"});
  for (pid_t const pid : {served.program.pid(), served.server()}) {
    auto const mine = read_file("/proc/" + std::to_string(pid) + "/environ");
    if (::geteuid() == 0) EXPECT_NE(mine.find("KEPT=yes"), std::string::npos);
    for (auto const* text : {"k1", "k2", "old-secret", "deep-secret"}) {
      EXPECT_EQ(mine.find(text), std::string::npos) << text;
    }
  }
  auto const theirs = served.shell("env; tr '\\0' '\\n' < /proc/$PPID/environ 2>/dev/null");
  EXPECT_NE(theirs.find("KEPT=yes"), std::string::npos);
  EXPECT_NE(theirs.find("AI_AGENT=openhands"), std::string::npos);
  auto const as_started = served.shell("cat /proc/$$/environ");
  EXPECT_NE(as_started.find("AI_AGENT="), std::string::npos);
  EXPECT_EQ(as_started.find("AI_AGENT="), as_started.rfind("AI_AGENT=")) << "an inherited one is replaced";
  for (auto const* text : {"OH_SESSION_API_KEYS", "SESSION_API_KEY", "OH_SECRET_KEY", "secret"}) {
    EXPECT_EQ(theirs.find(text), std::string::npos) << text;
  }
  EXPECT_NE(served.shell("echo", {{"X-Session-API-Key", "k2"}}), "");
  auto const old_key = Client(served.port).request("GET", "/api/secrets", "", {{"X-Session-API-Key", "old-secret"}});
  EXPECT_EQ(old_key.status, 401u) << "numbered keys replace it";
}

TEST(Program, TakesNumberedKeysWithGapsAndAJsonListOfThem) {
  Served served({"OH_SESSION_API_KEYS=[\"k8\",\"k9\"]", "OH_SESSION_API_KEYS_7=k7", "SESSION_API_KEY=other"});
  auto const status = [&](Fields const& fields) {
    return Client(served.port).request("GET", "/api/secrets", "", fields).status;
  };
  for (auto const* key : {"k7", "k8", "k9"}) EXPECT_EQ(status({{"X-Session-API-Key", key}}), 200u) << key;
  EXPECT_EQ(status({{"X-Session-API-Key", "other"}}), 401u);
  EXPECT_EQ(status({}), 401u);
}

TEST(Program, RefusesToStartOpenWhenAVariableForKeysGivesNone) {
  for (auto const* entry : {"OH_SESSION_API_KEYS=k9", "OH_SESSION_API_KEYS=[]", "OH_SESSION_API_KEYS=[\"\"]",
                            "OH_SESSION_API_KEYS=", "OH_SESSION_API_KEYS_0=", "OH_SESSION_API_KEYS_X=k"}) {
    Program open({"--listen", "127.0.0.1:0"}, {entry});
    EXPECT_EQ(open.wait(), 2) << entry;
    EXPECT_TRUE(open.errors().starts_with("nestlet: OH_SESSION_API_KEYS")) << entry;
  }
}

TEST(Program, StaysDormantUntilItIsToldItsRealKeyWhichIsInNoEnvironment) {
  Served served({"OH_DEFERRED_INIT=true", "OH_SESSION_API_KEYS_0=boot-key", "OH_SECRET_KEY=boot-secret"});
  auto const call = [&](std::string const& method, std::string const& path, std::string const& body, Fields const& fields) {
    return Client(served.port).request(method, path, body, fields).status;
  };
  EXPECT_EQ(call("GET", "/api/secrets", "", {{"X-Session-API-Key", "boot-key"}}), 503u);
  std::string const told = R"({"session_api_keys":["k1"],"env":{"TOLD":"yes"}})";
  EXPECT_EQ(call("POST", "/api/init", told, {{"X-Init-API-Key", "boot-key"}}), 401u);
  EXPECT_EQ(call("POST", "/api/init", told, {{"X-Init-API-Key", "boot-secret"}}), 200u);
  EXPECT_EQ(call("GET", "/api/secrets", "", {{"X-Session-API-Key", "boot-key"}}), 401u);
  auto const environment = served.shell("env; tr '\\0' '\\n' < /proc/$PPID/environ 2>/dev/null");
  EXPECT_NE(environment.find("TOLD=yes"), std::string::npos);
  for (auto const* text : {"boot-key", "boot-secret", "k1"}) EXPECT_EQ(environment.find(text), std::string::npos) << text;
  ::kill(served.program.pid(), SIGTERM);
  EXPECT_EQ(served.program.wait(), 0);
}

TEST(Program, RefusesADeferralOrAWebhookThatItDoesNotUnderstand) {
  Program deferral({"--listen", "127.0.0.1:0"}, {"OH_DEFERRED_INIT=perhaps"});
  EXPECT_EQ(deferral.wait(), 2);
  EXPECT_EQ(deferral.errors(), "nestlet: OH_DEFERRED_INIT: neither true nor false\n");
  Program webhook({"--listen", "127.0.0.1:0"}, {"OH_WEBHOOKS_0_BASE_URL=https://user:hunter2@gate"});
  EXPECT_EQ(webhook.wait(), 2);
  EXPECT_EQ(webhook.errors().find("hunter2"), std::string::npos);
}

TEST(Program, TakesItsKeysFromAFileAndRemovesIt) {
  TemporaryDirectory const keys;
  write_file(keys.path("key"), "k1\nk3\n");
  Served served({"NESTLET_SESSION_KEY_FILE=" + keys.path("key"), "SESSION_API_KEY=other"});
  EXPECT_FALSE(std::filesystem::exists(keys.path("key")));
  auto const status = [&](std::string const& key) {
    return Client(served.port).request("GET", "/api/secrets", "", {{"X-Session-API-Key", key}}).status;
  };
  EXPECT_EQ(status("k1"), 200u);
  EXPECT_EQ(status("k3"), 200u);
  EXPECT_EQ(status("other"), 401u);
}

TEST(Program, NoCommandOutlivesASigtermNotEvenOneThatLeftItsGroup) {
  Served served;
  auto const left = std::stoi(served.shell("setsid sleep 1000 >/dev/null 2>&1 & echo $!"));
  auto const background = std::stoi(served.shell("sleep 1000 >/dev/null 2>&1 & echo $!"));
  EXPECT_TRUE(alive(left) && alive(background));
  ::kill(served.program.pid(), SIGTERM);
  EXPECT_EQ(served.program.wait(), 0);
  EXPECT_FALSE(alive(left));
  EXPECT_FALSE(alive(background));
}

// What commands leave behind in every way that a shell has to let go of a process.
std::vector<pid_t> leave_behind(Served const& served) {
  std::vector<pid_t> out;
  write_file(served.directory.path("leave"), "echo $$ > pid; exec sleep 1000");
  for (std::string const how :
       {"sh leave &", "setsid sh leave &", "nohup setsid sh leave &", "(setsid sh -c '(setsid sh leave &)' &)"}) {
    auto const pid =
        served.shell("rm -f pid; exec 3>&1 >/dev/null 2>&1; " + how + "\n until [ -s pid ]; do :; done; cat pid >&3");
    out.push_back(std::stoi(pid));
    EXPECT_TRUE(alive(out.back())) << how;
  }
  return out;
}

TEST(Program, NothingOfACommandOutlivesASigkill) {
  Served served;
  auto const left = leave_behind(served);
  auto const server = served.server();
  ::kill(served.program.pid(), SIGKILL);
  EXPECT_EQ(served.program.wait(), -SIGKILL);
  for (pid_t const pid : left) {
    while (alive(pid)) std::this_thread::yield();
  }
  while (alive(server)) std::this_thread::yield();
}

TEST(Program, NothingOfACommandOutlivesTheServerAndTheProgramEndsLikeIt) {
  Served served;
  auto const left = leave_behind(served);
  ::kill(served.server(), SIGKILL);
  EXPECT_EQ(served.program.wait(), -SIGKILL);
  for (pid_t const pid : left) EXPECT_FALSE(alive(pid));
}

TEST(Program, WrongUsageIsOneLineForEachFaultAndExitCode2) {
  Program usage({"--listen", "127.0.0.1:0", "--head-bytes-max", "x", "stray"});
  EXPECT_EQ(usage.wait(), 2);
  EXPECT_EQ(usage.errors(),
            "nestlet: --head-bytes-max: \"x\" is not a whole number from 1024 to 16777216\n"
            "nestlet: unexpected argument \"stray\" (see --help)\n");
  Program workspace({"--listen", "127.0.0.1:0", "--workspace", "/no/such/directory"});
  EXPECT_EQ(workspace.wait(), 2);
  EXPECT_EQ(workspace.errors(), "nestlet: --workspace: \"/no/such/directory\" is not a directory\n");
  Program keys({"--listen", "127.0.0.1:0", "--session-key-file", "/no/such/file"});
  EXPECT_EQ(keys.wait(), 2);
}

TEST(Program, AnAddressThatIsTakenIsExitCode1AndABadOneExitCode2) {
  Served served;
  Program second({"--listen", "127.0.0.1:" + std::to_string(served.port)});
  EXPECT_EQ(second.wait(), 1);
  EXPECT_EQ(second.errors(),
            "nestlet: --listen: \"127.0.0.1:" + std::to_string(served.port) + "\": Address already in use\n");
  Program name({"--listen", "localhost:80"});
  EXPECT_EQ(name.wait(), 2);
}

TEST(Program, ListensOnAUnixSocketToo) {
  TemporaryDirectory const directory;
  auto const path = directory.path("socket");
  Served served({}, {"--listen", "unix:" + path});
  EXPECT_EQ(text(served.ready.at("listen").at(1)), "unix:" + path);
  asio::io_context loop(1);
  asio::basic_stream_socket<asio::local::stream_protocol, Executor> socket(loop.get_executor());
  socket.connect(asio::local::stream_protocol::endpoint(path));
  asio::write(socket, asio::buffer(std::string_view("GET /alive HTTP/1.1\r\nhost: n\r\n\r\n")));
  beast::flat_buffer buffer;
  http::response<http::string_body> reply;
  http::read(socket, buffer, reply);
  EXPECT_EQ(reply.body(), R"({"status":"ok"})");
  ::kill(served.program.pid(), SIGTERM);
  EXPECT_EQ(served.program.wait(), 0);
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(Program, TakesOverASocketFileThatNobodyListensAtAndNothingElse) {
  TemporaryDirectory const directory;
  auto const path = directory.path("socket");
  {
    asio::io_context loop(1);
    asio::basic_socket_acceptor<asio::local::stream_protocol, Executor> dead(loop.get_executor());
    dead.open();
    dead.bind(asio::local::stream_protocol::endpoint(path));
  }
  Served served({}, {"--listen", "unix:" + path});
  Program second({"--listen", "unix:" + path});
  EXPECT_EQ(second.wait(), 1) << "somebody listens";
  write_file(directory.path("file"), "kept");
  Program third({"--listen", "unix:" + directory.path("file")});
  EXPECT_EQ(third.wait(), 1);
  EXPECT_EQ(read_file(directory.path("file")), "kept");
}

}  // namespace
}  // namespace nestgate::nestlet::testing
