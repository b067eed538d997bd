// What the Docker provider says to an engine, call by call, where a real engine could not be brought into the state in time.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <mutex>

#include "nestgate/runtime/factory.hpp"
#include "support/control.hpp"
#include "support/gate.hpp"

namespace nestgate::runtime {
namespace {

using namespace std::chrono_literals;
using test::Reply;
using testing::ElementsAre;
using testing::HasSubstr;

ConversationId id_of(std::string_view text) { return ConversationId::parse(text).value(); }

std::string const handle(64, 'b');
constexpr std::string_view ports_of_a_server = R"({"8000/tcp":[{"HostIp":"127.0.0.1","HostPort":"32768"}]})";

// Of another gateway of this installation, which it started for c1.
std::string container(std::string_view status, std::string_view ports = ports_of_a_server, std::string const& id = handle) {
  return R"({"Id":")" + id + R"(","Name":"/openhands-runtime-c1","State":{"Status":")" + std::string(status) +
         R"("},"Config":{"Env":[],"Labels":{"nestgate.installation":"nestgate","nestgate.conversation":"c1",)"
         R"("nestgate.owner":"alice","nestgate.start":"of another gateway"}},"NetworkSettings":{"Ports":)" +
         std::string(ports) + "}}";
}

class DockerCalls : public testing::Test {
 protected:
  DockerCalls() : engine_([this](test::Connection& connection) { serve(connection); }) {
    settings.host = "tcp://127.0.0.1:" + std::to_string(engine_.port());
    settings.image = "image:1";
    on("GET /version", {200, R"({"ApiVersion":"1.47","MinAPIVersion":"1.24"})"});
  }
  ~DockerCalls() override {
    stops.open();
    if (provider_) control.run(provider_->close());
    engine_.stop();
  }

  RuntimeProvider& provider() {
    if (!provider_) {
      ProviderSettings all;
      all.docker = settings;
      provider_ = make_provider("docker", std::move(all), control.executor()).value();
    }
    return *provider_;
  }
  void close() {
    control.run(provider().close());
    provider_.reset();
  }
  // What is answered from now on; of several the last one stays.
  void on(std::string line, Reply reply) { on_in_turn(std::move(line), {std::move(reply)}); }
  void on_in_turn(std::string line, std::vector<Reply> replies) {
    std::lock_guard const lock(mutex_);
    table_.insert_or_assign(std::move(line), std::move(replies));
  }
  // The calls that change something, without the version.
  std::vector<std::string> told() const {
    std::lock_guard const lock(mutex_);
    return told_;
  }
  Outcome<Instance> create() {
    Spec spec{id_of("c1"), Epoch{7}, Secret("the-key"), "alice"};
    return control.run(provider().create(std::move(spec), Deadline::in(20s)));
  }

  test::Control control;
  DockerSettings settings;
  test::Gate stops;  // no stop is answered before it is open

 private:
  void serve(test::Connection& connection) {
    auto const head = connection.read_until("\r\n\r\n");
    if (head.empty()) return;
    if (auto const length = test::field_value(head, "content-length"); !length.empty())
      connection.read_exactly(std::stoul(length));
    std::string line = head.substr(0, head.find_first_of(" ?", head.find(' ') + 1));
    if (auto const version = line.find("/v1."); version != line.npos)
      line.erase(version, line.find('/', version + 1) - version);
    if (line == "GET /events") {
      connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
      connection.read_to_end();  // nothing ever happens
      return;
    }
    auto const reply = reply_to(line);
    if (line.ends_with("/stop")) stops.pass();
    connection.send("HTTP/1.1 " + std::to_string(reply.status) + " x\r\nContent-Type: application/json\r\nContent-Length: " +
                    std::to_string(reply.body.size()) + "\r\n\r\n" + reply.body);
  }
  Reply reply_to(std::string const& line) {
    std::lock_guard const lock(mutex_);
    if (!line.starts_with("GET ")) told_.push_back(line);
    auto const found = table_.find(line);
    if (found == table_.end()) return {404, R"({"message":"no such thing"})"};
    auto const reply = found->second.front();
    if (found->second.size() > 1) found->second.erase(found->second.begin());
    return reply;
  }

  mutable std::mutex mutex_;  // guards the two below
  std::map<std::string, std::vector<Reply>> table_;
  std::vector<std::string> told_;
  std::unique_ptr<RuntimeProvider> provider_;
  test::Server engine_;
};

Reply const name_is_taken{409, R"({"message":"Conflict. The container name \"/openhands-runtime-c1\" is already in use"})"};
Reply const nothing_there{404, R"({"message":"No such container"})"};

TEST_F(DockerCalls, WhoComesSecondTakesWhatTheFirstMadeAndStopsNothing) {
  on("POST /containers/create", name_is_taken);
  on_in_turn("GET /containers/openhands-runtime-c1/json", {nothing_there, {200, container("running")}});
  on("GET /containers/" + handle + "/json", {200, container("running")});
  auto const made = create();
  ASSERT_TRUE(made) << made.error().reason;
  EXPECT_EQ(made->handle, handle);
  EXPECT_TRUE(made->existed);
  EXPECT_EQ(made->endpoint.port(), 32768);
  close();
  EXPECT_THAT(told(), ElementsAre("POST /containers/create")) << "nor at the gateway's end";
}

TEST_F(DockerCalls, WhoComesSecondAndCannotUseWhatTheFirstMadeLeavesItAlone) {
  on("POST /containers/create", name_is_taken);
  on_in_turn("GET /containers/openhands-runtime-c1/json", {nothing_there, {200, container("running", "{}")}});
  on("GET /containers/" + handle + "/json", {200, container("running", "{}")});
  auto const made = create();
  ASSERT_FALSE(made);
  EXPECT_THAT(made.error().reason, HasSubstr("offers no port of its server"));
  close();
  EXPECT_THAT(told(), ElementsAre("POST /containers/create"));
}

TEST_F(DockerCalls, ADeadContainerIsRemovedAndMadeAnew) {
  std::string const again(64, 'c');
  on_in_turn("GET /containers/openhands-runtime-c1/json", {{200, container("dead")}, nothing_there});
  on("DELETE /containers/" + handle, {204, ""});
  on("POST /containers/create", {201, R"({"Id":")" + again + "\"}"});
  on("POST /containers/" + again + "/start", {204, ""});
  on("GET /containers/" + again + "/json", {200, container("running", ports_of_a_server, again)});
  auto const made = create();
  ASSERT_TRUE(made) << made.error().reason;
  EXPECT_EQ(made->handle, again);
  EXPECT_FALSE(made->existed);
  EXPECT_THAT(told(), ElementsAre("DELETE /containers/" + handle, "POST /containers/create",
                                  "POST /containers/" + again + "/start"));
}

TEST_F(DockerCalls, AContainerThatStopsSlowlyHoldsNobodyElseUp) {
  on("GET /containers/openhands-runtime-c1/json", {200, container("running")});
  on("GET /containers/" + handle + "/json", {200, container("running")});
  on("POST /containers/" + handle + "/stop", {204, ""});
  on("GET /containers/json", {200, "[]"});
  ASSERT_TRUE(create());
  bool has_ended = false;
  TaskGroup group(control.executor());
  auto const destroy = [](RuntimeProvider& at, bool& ended) -> Task<> {
    auto const done = co_await at.destroy(id_of("c1"), Leftovers::keep);
    EXPECT_TRUE(done) << done.error().reason;
    ended = true;
  };
  group.spawn("destroy", destroy(provider(), has_ended));
  control.run_until([this] { return !told().empty(); });
  EXPECT_TRUE(control.run(provider().list()));
  EXPECT_TRUE(control.run(provider().inspect(id_of("c2"))));
  on("GET /containers/openhands-runtime-c1/json", {200, container("exited")});
  EXPECT_FALSE(has_ended) << "the engine still stops it";
  stops.open();
  control.run_until([&has_ended] { return has_ended; });
  ASSERT_TRUE(control.run(group.join()));
}

}  // namespace
}  // namespace nestgate::runtime
