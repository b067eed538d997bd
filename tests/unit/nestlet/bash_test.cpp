#include <csignal>

#include "nestgate/base/text.hpp"
#include "unit/nestlet/support.hpp"

namespace nestgate::nestlet::testing {
namespace {

std::string command(std::string_view text, std::string_view more = "") {
  return "{\"command\":" + boost::json::serialize(boost::json::value(text)) + std::string(more) + "}";
}
boost::json::object execute(RunningServer const& server, std::string_view text, std::string_view more = "") {
  auto const reply = server.call("POST", "/api/bash/execute_bash_command", command(text, more));
  EXPECT_EQ(reply.status, 200u) << reply.body;
  return reply.json().as_object();
}
std::string path_of(boost::json::value const& id, std::string_view rest) {
  return "/api/bash/" + std::string(rest) + std::string(id.as_string());
}

TEST(Bash, AnEventHasTheContractsShapeWithNullsAndKindLast) {
  RunningServer const server;
  auto const started = server.call("POST", "/api/bash/start_bash_command", command("true"));
  auto const event = started.json().as_object();
  EXPECT_EQ(event.at("id").as_string().size(), 32u);
  EXPECT_TRUE(event.at("timestamp").as_string().ends_with('Z'));
  EXPECT_TRUE(event.at("cwd").is_null());
  EXPECT_EQ(event.at("timeout"), 300);
  EXPECT_TRUE(started.body.ends_with(R"("kind":"BashCommand"})"));

  auto const output = execute(server, "echo out; echo err >&2; exit 7");
  EXPECT_EQ(output.at("stdout"), "out\n");
  EXPECT_EQ(output.at("stderr"), "err\n");
  EXPECT_EQ(output.at("exit_code"), 7);
  EXPECT_EQ(output.at("order"), 0);
  EXPECT_TRUE(execute(server, "true").at("stdout").is_null());
}

TEST(Bash, CommandsRunInTheWorkspaceOrWhereTheySayWithNoInput) {
  RunningServer const server;
  EXPECT_EQ(text(execute(server, "pwd").at("stdout")), server.path() + "\n");
  EXPECT_EQ(execute(server, "pwd", R"(,"cwd":"/")").at("stdout"), "/\n");
  EXPECT_TRUE(execute(server, "cat").at("stdout").is_null());
  auto const nowhere = execute(server, "pwd", R"(,"cwd":"/no/such/place")");
  EXPECT_EQ(nowhere.at("exit_code"), -1);
  EXPECT_EQ(nowhere.at("stderr"), "chdir: No such file or directory (/no/such/place)");
}

TEST(Bash, ATimeoutKillsGrandchildrenTooEvenThoseThatIgnoreSigterm) {
  RunningServer const server;
  auto const output =
      execute(server, "(trap '' TERM; echo $BASHPID > grandchild; while :; do sleep 1000; done) & wait", R"(,"timeout":1)");
  EXPECT_EQ(output.at("exit_code"), -1);
  auto const grandchild = std::stoi(read_file(server.path("grandchild")));
  auto const gone = [&] {
    auto const stat = read_file("/proc/" + std::to_string(grandchild) + "/stat");
    return stat.empty() || stat.find(") Z ") != std::string::npos;
  };
  while (!gone()) std::this_thread::yield();
}

TEST(Bash, StoppingACommandEndsItAndSaysSo) {
  RunningServer const server;
  auto const started = server.call("POST", "/api/bash/start_bash_command", command("sleep 1000")).json();
  auto const& id = started.at("id");
  auto const stop = path_of(id, "bash_commands/") + "/stop";
  EXPECT_EQ(server.call("POST", stop).body, R"({"success":true})");
  boost::json::array items;
  while (items.empty()) {
    auto const page = server.call("GET", path_of(id, "bash_events/search?command_id__eq=")).json();
    items = page.at("items").as_array();
  }
  EXPECT_EQ(items.front().at("exit_code"), -15);
  EXPECT_EQ(server.call("POST", stop).status, 200u) << "stopping twice is no fault";
  EXPECT_EQ(server.call("POST", "/api/bash/bash_commands/00000000-0000-0000-0000-000000000000/stop").status, 404u);
}

TEST(Bash, ABackgroundProcessDoesNotHoldTheCommandUp) {
  RunningServer const server;
  auto const output = execute(server, "sleep 20 & echo $!");
  EXPECT_EQ(output.at("exit_code"), 0);
  ::kill(std::stoi(output.at("stdout").as_string().c_str()), SIGKILL);
}

TEST(Bash, AStreamPastTheLimitComesInPiecesAndLosesNothing) {
  Limits limits;
  limits.output_chars_max = 1000;
  RunningServer const server(limits);
  auto const last = execute(server, "head -c 3500 /dev/zero | tr '\\0' x; printf 'äöü'");
  EXPECT_EQ(last.at("exit_code"), 0);
  auto const id = std::string(last.at("command_id").as_string());
  auto const page = server.call("GET", "/api/bash/bash_events/search?kind__eq=BashOutput&command_id__eq=" + id).json();
  std::string all;
  std::int64_t order = 0;
  for (auto const& item : page.at("items").as_array()) {
    EXPECT_EQ(item.at("order"), order++);
    EXPECT_EQ(item.at("exit_code").is_null(), item != page.at("items").as_array().back());
    auto const* text = item.at("stdout").if_string();
    if (text != nullptr) all += text->c_str();
  }
  EXPECT_GE(order, 4);
  EXPECT_EQ(all, std::string(3500, 'x') + "äöü");
}

boost::json::array outputs_of(RunningServer const& server, boost::json::value const& id, std::string_view more = "") {
  auto const page =
      server.call("GET", path_of(id, "bash_events/search?kind__eq=BashOutput&command_id__eq=") + std::string(more));
  return page.json().at("items").as_array();
}

// Says "line", waits for the file `go`, says the rest.
constexpr std::string_view says_and_waits =
    "printf 'line\\n\\303'; until test -e go; do sleep 0.01; done; printf '\\244'; echo err >&2; exit 3";

TEST(Bash, AStartedCommandIsHeardWhileItRunsAndNothingIsSaidTwice) {
  Limits limits;
  limits.output_flush_milliseconds = 1;
  RunningServer const server(limits);
  SocketClient socket(server.port(), "/sockets/bash-events", key_field);
  auto const started = server.call("POST", "/api/bash/start_bash_command", command(says_and_waits)).json();
  EXPECT_EQ(socket.receive_json().at("kind"), "BashCommand");
  auto const first = socket.receive_json();
  EXPECT_TRUE(first.at("exit_code").is_null());
  EXPECT_EQ(first.at("order"), 0);
  EXPECT_EQ(first.at("stdout"), "line\n") << "not the half of a character";
  EXPECT_EQ(outputs_of(server, started.at("id")).size(), 1u);
  write_file(server.path("go"), "");
  boost::json::object event;
  std::string out, err;
  for (std::int64_t order = 1; event["exit_code"].is_null(); ++order) {
    event = socket.receive_json();
    EXPECT_EQ(event.at("order"), order);
    if (event.at("stdout").is_string()) out += text(event.at("stdout"));
    if (event.at("stderr").is_string()) err += text(event.at("stderr"));
  }
  EXPECT_EQ(out, "ä");
  EXPECT_EQ(err, "err\n");
  EXPECT_EQ(event.at("exit_code"), 3);
}

TEST(Bash, AStartedCommandIsHeardAtItsEndWhereNothingIsToBeFlushed) {
  Limits limits;
  limits.output_flush_milliseconds = 0;
  RunningServer const server(limits);
  auto const started = server.call("POST", "/api/bash/start_bash_command", command("echo 1; sleep 0.1; echo 2")).json();
  boost::json::array all;
  while (all.empty()) all = outputs_of(server, started.at("id"));
  EXPECT_EQ(all.at(0).at("stdout"), "1\n2\n");
}

TEST(Bash, AnExecutedCommandGivesOneOutputHoweverOftenItSpeaks) {
  Limits limits;
  limits.output_flush_milliseconds = 1;
  RunningServer const server(limits);
  auto const only = execute(server, "for i in 1 2 3 4 5; do echo $i; sleep 0.05; done");
  EXPECT_EQ(only.at("order"), 0);
  EXPECT_EQ(only.at("stdout"), "1\n2\n3\n4\n5\n");
}

TEST(Bash, WhoAsksByOrderAloneGetsPastThePage) {
  Limits limits;
  limits.output_chars_max = 1;
  RunningServer const server(limits);
  auto const last = execute(server, "seq -s '' 1 99");
  std::string all;
  std::int64_t order = -1;
  while (order < last.at("order").as_int64()) {
    auto const page = outputs_of(server, last.at("command_id"), "&limit=100&order__gt=" + std::to_string(order));
    ASSERT_FALSE(page.empty()) << "behind " << order;
    for (auto const& item : page) {
      EXPECT_EQ(item.at("order"), ++order);
      all += text(item.at("stdout"));
    }
  }
  EXPECT_EQ(all.size(), 190u) << all;
  EXPECT_TRUE(all.ends_with("9899\n"));
}

TEST(Bash, BytesThatAreNoTextCountTowardsTheLimit) {
  Limits limits;
  limits.output_chars_max = 1000;
  RunningServer const server(limits);
  auto const last = execute(server, "head -c 2500 /dev/zero | tr '\\0' '\\200'");
  EXPECT_EQ(last.at("order"), 2) << "two pieces were full before";
  EXPECT_EQ(text(last.at("stdout")).size(), 500 * std::string("\uFFFD").size());
}

TEST(Bash, SearchFiltersSortsAndPages) {
  RunningServer const server;
  auto const first = execute(server, "echo 1");
  execute(server, "echo 2");
  auto const search = [&](std::string const& query) {
    return server.call("GET", "/api/bash/bash_events/search?" + query).json();
  };
  EXPECT_EQ(search("").at("items").as_array().size(), 4u);
  EXPECT_EQ(search("kind__eq=BashCommand").at("items").as_array().size(), 2u);
  auto const dashes = dashed_uuid(std::string(first.at("command_id").as_string()));
  EXPECT_EQ(search("command_id__eq=" + dashes).at("items").as_array().size(), 1u);
  EXPECT_EQ(search("command_id__eq=" + dashes + "&order__gt=0").at("items").as_array().size(), 0u);
  EXPECT_EQ(search("sort_order=TIMESTAMP_DESC&limit=1").at("items").at(0).at("stdout"), "2\n");
  auto const page = search("limit=3");
  auto const rest = search("limit=3&page_id=" + std::string(page.at("next_page_id").as_string()));
  EXPECT_EQ(rest.at("items").as_array().size(), 1u);
  EXPECT_TRUE(rest.at("next_page_id").is_null());
  EXPECT_EQ(search("timestamp__lt=2000-01-01T00:00:00Z").at("items").as_array().size(), 0u);
  for (auto const* bad : {"limit=0", "limit=101", "limit=x", "sort_order=UP", "kind__eq=Other", "timestamp__gte=then",
                          "command_id__eq=1", "order__gt=x"}) {
    EXPECT_EQ(server.call("GET", std::string("/api/bash/bash_events/search?") + bad).status, 422u) << bad;
  }
}

TEST(Bash, EventsAreFoundByIdOneByOneInBatchesAndCleared) {
  RunningServer const server;
  auto const output = execute(server, "echo 1");
  auto const& id = output.at("id");
  EXPECT_EQ(server.call("GET", path_of(id, "bash_events/")).json().at("id"), id);
  EXPECT_EQ(server.call("GET", "/api/bash/bash_events/unknown").status, 404u);
  auto const batch = server.call("GET", "/api/bash/bash_events/", "[\"" + std::string(id.as_string()) + "\",\"no\"]").json();
  EXPECT_EQ(batch.at(0).at("id"), id);
  EXPECT_TRUE(batch.at(1).is_null());
  EXPECT_EQ(server.call("DELETE", "/api/bash/bash_events").body, R"({"cleared_count":2})");
  EXPECT_EQ(server.call("GET", path_of(id, "bash_events/")).status, 404u);
}

TEST(Bash, TooManyCommandsAtOnceAreRefusedWithTheLimit) {
  Limits limits;
  limits.commands_max = 1;
  RunningServer const server(limits);
  EXPECT_EQ(server.call("POST", "/api/bash/start_bash_command", command("sleep 1000")).status, 200u);
  auto const reply = server.call("POST", "/api/bash/start_bash_command", command("true"));
  EXPECT_EQ(reply.status, 429u);
  EXPECT_EQ(reply.body, R"({"detail":"Too many running commands: at most 1"})");
}

TEST(Bash, NothingIsStartedAnyMoreOnceCommandsAreShutDown) {
  asio::io_context loop(1);
  ProcessGroups groups;
  Commands commands(loop.get_executor(), {}, "/", {}, groups);
  asio::co_spawn(loop, commands.shut_down(), [](std::exception_ptr bug) { EXPECT_FALSE(bug); });
  loop.run();
  EXPECT_EQ(commands.start({"true", {}, 1}).error().status, 503u);
  EXPECT_EQ(commands.log().size(), 0u);
}

}  // namespace
}  // namespace nestgate::nestlet::testing
