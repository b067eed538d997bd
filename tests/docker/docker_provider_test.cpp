#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "nestgate/codec/json_writer.hpp"
#include "nestgate/conversation/manager.hpp"
#include "nestgate/nested/client.hpp"
#include "nestgate/runtime/factory.hpp"
#include "nestgate/upstream/http_client.hpp"
#include "support/backing.hpp"
#include "support/control.hpp"
#include "support/docker_engine.hpp"
#include "support/fake_runtimes.hpp"
#include "support/image_registry.hpp"
#include "support/tls.hpp"

namespace nestgate::runtime {
namespace {

using namespace std::chrono_literals;
using test::Control;
using test::DockerEngine;

constexpr auto image = "nestgate-test:1";
constexpr auto plenty = 60s;

ConversationId id_of(std::string_view text) { return ConversationId::parse(text).value(); }

// An image with a nested server and a shell.
void import_image(DockerEngine const& engine) {
  test::TempFolder root;
  test::copy_programs(root.path(), {NESTLET_PROGRAM, "/bin/dash", "/bin/sleep"});
  engine.import_image(root.path(), "nestgate-test", "1");
}

// One for all tests of this program; those that end theirs have their own.
class SharedEngine : public testing::Environment {
 public:
  void TearDown() override { engine_.reset(); }
  static DockerEngine& get() {
    if (!engine_) {
      engine_ = std::make_unique<DockerEngine>();
      if (engine_->problem().empty()) import_image(*engine_);
    }
    return *engine_;
  }

 private:
  static inline std::unique_ptr<DockerEngine> engine_;
};
[[maybe_unused]] auto* const environment = testing::AddGlobalTestEnvironment(new SharedEngine);

std::string escaped(std::string_view text) {
  std::string out;
  codec::append_json_string(out, text);
  return out;
}

// Containers of a shell script or of nestlets on a real engine.
class DockerRuntimes : public testing::Test {
 protected:
  void SetUp() override {
    if (!engine().problem().empty()) GTEST_SKIP() << engine().problem();
    use(engine().host());
    serve();
  }
  void TearDown() override {
    for (auto& provider : providers_) control.run(provider->close());
    if (engine().problem().empty()) engine().remove_containers();
  }

  static DockerEngine& engine() { return SharedEngine::get(); }
  void use(std::string host) {
    settings.host = std::move(host);
    settings.installation = testing::UnitTest::GetInstance()->current_test_info()->name();
    settings.image = image;
    settings.stop_grace = 1s;
    settings.pull = DockerSettings::Pull::never;
  }
  void serve() { settings.command = {"nestlet", "--listen", "0.0.0.0:{port}", "--workspace", "/workspace"}; }
  void script(std::string text) { settings.command = {"dash", "-c", std::move(text)}; }

  // The first one is made at the first call.
  RuntimeProvider& provider() {
    if (providers_.empty()) another();
    return *providers_.front();
  }
  std::unique_ptr<RuntimeProvider> make() {
    auto made = make_provider("docker", ProviderSettings{{}, settings}, control.executor());
    EXPECT_TRUE(made) << made.error().reason;
    return std::move(*made);
  }
  RuntimeProvider& another() {
    providers_.push_back(make());
    providers_.back()->on_end([this](ConversationId const& id, Epoch epoch, std::string reason) {
      ends.push_back(id.text() + " " + std::to_string(epoch.get()) + " " + reason);
    });
    return *providers_.back();
  }
  // As when the gateway is started anew.
  void restart() {
    control.run(provider().close());
    providers_.clear();
  }
  static Spec spec_of(std::string_view id, std::string owner = "alice", std::uint64_t epoch = 7) {
    return Spec{id_of(id), Epoch{epoch}, Secret("the-key-of-" + std::string(id)), std::move(owner)};
  }
  Outcome<Instance> create(std::string_view id, std::string owner = "alice", std::uint64_t epoch = 7) {
    return control.run(provider().create(spec_of(id, std::move(owner), epoch), Deadline::in(plenty)));
  }
  Instance must_create(std::string_view id) {
    auto made = create(id);
    if (!made) throw std::runtime_error(made.error().reason);
    return std::move(*made);
  }
  Outcome<> destroy(std::string_view id, Leftovers leftovers = Leftovers::keep) {
    return control.run(provider().destroy(id_of(id), leftovers));
  }
  std::optional<Found> inspect(std::string_view id) {
    auto found = control.run(provider().inspect(id_of(id)));
    EXPECT_TRUE(found) << found.error().reason;
    return std::move(*found);
  }
  std::vector<std::string> listed() {
    auto all = control.run(provider().list());
    EXPECT_TRUE(all) << all.error().reason;
    std::vector<std::string> out;
    for (auto const& found : *all) out.push_back(found.id.text() + " " + std::string(to_string(found.presence)));
    std::sort(out.begin(), out.end());
    return out;
  }
  bool is_alive(Instance const& instance, std::string_view key = {}) {
    nested::Client client(instance.endpoint, Secret(std::string(key)));
    auto const alive = control.run(client.wait_alive(Deadline::in(plenty)));
    EXPECT_TRUE(alive) << alive.error().reason;
    return alive.has_value();
  }
  // Of a call that needs the session key.
  unsigned status_with(Instance const& instance, std::string_view key) {
    upstream::Call call;
    call.url = upstream::url_of(instance.endpoint).at("/api/bash/bash_events/search");
    call.secret_headers.emplace_back("X-Session-API-Key", Secret(std::string(key)));
    auto const answer = control.run(upstream::call(std::move(call), Deadline::in(plenty)));
    EXPECT_TRUE(answer) << answer.error().cause.message();
    return answer ? answer->status : 0;
  }
  std::string wait_for_end() {
    control.run_until([this] { return !ends.empty(); });
    return ends.at(0);
  }
  // A container that somebody else made.
  std::string put(std::string_view name, std::string const& body) {
    auto const made = engine().ask("POST", "/containers/create?name=" + std::string(name), body);
    EXPECT_EQ(made.status, 201U) << made.body;
    return made.body.substr(made.body.find("\"Id\":\"") + 6, 64);
  }
  void tell(std::string const& handle, std::string const& what) {
    auto const answer = engine().ask("POST", "/containers/" + handle + "/" + what);
    EXPECT_EQ(answer.status / 100, 2U) << what << ": " << answer.body;
  }
  // The body of one that runs nestlet on `port`, published on the same number of the host's choice.
  static std::string foreign(std::string const& port, std::string const& variables, std::string const& more = "") {
    return R"({"Image":")" + std::string(image) + R"(","Cmd":["nestlet","--listen","0.0.0.0:)" + port +
           R"(","--workspace","/workspace"],"Env":[)" + variables + R"(],"ExposedPorts":{")" + port +
           R"(/tcp":{}},"HostConfig":{"PortBindings":{")" + port + R"(/tcp":[{"HostIp":"127.0.0.1","HostPort":""}]}})" +
           more + "}";
  }
  static std::size_t containers_named(std::string const& name) {
    auto const all = engine().ask("GET", "/containers/json?all=1").body;
    std::size_t count = 0;
    auto const mark = "[\"/" + name + "\"]";
    for (auto at = all.find(mark); at != all.npos; at = all.find(mark, at + 1)) ++count;
    return count;
  }

  Control control;
  DockerSettings settings;
  std::vector<std::string> ends;

 private:
  std::vector<std::unique_ptr<RuntimeProvider>> providers_;
};

TEST_F(DockerRuntimes, AreMadeFoundStoppedStartedAnewAndRemoved) {
  auto const made = must_create("c1");
  EXPECT_FALSE(made.existed);
  EXPECT_TRUE(made.endpoint.at.address().is_loopback());
  ASSERT_TRUE(control.run(provider().wait_ready(id_of("c1"), Deadline::in(plenty))));
  EXPECT_TRUE(is_alive(made));
  EXPECT_EQ(status_with(made, "the-key-of-c1"), 200U);
  EXPECT_EQ(status_with(made, "wrong"), 401U);
  auto const found = inspect("c1");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->presence, Presence::running);
  EXPECT_EQ(found->owner, "alice");
  EXPECT_EQ(found->instance.handle, made.handle);
  EXPECT_EQ(found->instance.endpoint, made.endpoint);
  EXPECT_EQ(listed(), (std::vector<std::string>{"c1 running"}));
  EXPECT_EQ(create("c1").error().reason, "create: the id has a runtime already");

  ASSERT_TRUE(destroy("c1"));
  EXPECT_EQ(inspect("c1")->presence, Presence::stopped);
  EXPECT_EQ(listed(), (std::vector<std::string>{"c1 stopped"}));
  EXPECT_TRUE(destroy("c1")) << "it has ended already";
  auto const again = must_create("c1");
  EXPECT_TRUE(again.existed);
  EXPECT_EQ(again.handle, made.handle);
  EXPECT_TRUE(is_alive(again));

  ASSERT_TRUE(destroy("c1", Leftovers::remove));
  EXPECT_FALSE(inspect("c1"));
  EXPECT_TRUE(listed().empty());
  EXPECT_TRUE(destroy("c1", Leftovers::remove)) << "there is none";
  EXPECT_TRUE(ends.empty()) << ends.at(0);
}

TEST_F(DockerRuntimes, ArePausedAndResumed) {
  auto const made = must_create("c1");
  ASSERT_TRUE(is_alive(made));
  ASSERT_TRUE(control.run(provider().pause(id_of("c1"))));
  ASSERT_TRUE(control.run(provider().pause(id_of("c1")))) << "idempotent";
  EXPECT_EQ(inspect("c1")->presence, Presence::paused);
  EXPECT_EQ(listed(), (std::vector<std::string>{"c1 paused"}));
  auto const resumed = control.run(provider().resume(spec_of("c1", "alice", 8), Deadline::in(plenty)));
  ASSERT_TRUE(resumed) << resumed.error().reason;
  EXPECT_TRUE(resumed->existed);
  EXPECT_TRUE(is_alive(*resumed));
  tell(made.handle, "kill");
  EXPECT_EQ(wait_for_end(), "c1 8 exited with status 137");
  EXPECT_EQ(control.run(provider().pause(id_of("c1"))).error().fault.kind, FaultKind::conflict);
  EXPECT_EQ(control.run(provider().pause(id_of("c2"))).error().fault.kind, FaultKind::not_found);
  EXPECT_EQ(control.run(provider().resume(spec_of("c2"), Deadline::in(plenty))).error().fault.kind, FaultKind::not_found);
}

TEST_F(DockerRuntimes, RunCommandsToTheirEnd) {
  must_create("c1");
  auto const run = [this](std::string text, Clock::duration time) {
    std::vector<std::string> command = {"dash", "-c", std::move(text)};
    return control.run(provider().execute(id_of("c1"), std::move(command), Deadline::in(time)));
  };
  auto const done = run("echo out; echo err >&2; exit 3", plenty);
  ASSERT_TRUE(done) << done.error().reason;
  EXPECT_EQ(done->exit_code, 3);
  EXPECT_NE(done->output.find("out\n"), std::string::npos) << done->output;
  EXPECT_NE(done->output.find("err\n"), std::string::npos) << done->output;
  auto const long_one = run("i=0; while [ $i -lt 9000 ]; do echo 0123456789 $i; i=$((i+1)); done; echo last", plenty);
  ASSERT_TRUE(long_one) << long_one.error().reason;
  EXPECT_EQ(long_one->output.size(), 64U * 1024);
  EXPECT_TRUE(long_one->output.ends_with("8999\nlast\n"));
  EXPECT_EQ(run("sleep 600", 50ms).error().fault.kind, FaultKind::timed_out);
  ASSERT_TRUE(destroy("c1"));
  EXPECT_EQ(run("true", plenty).error().fault.kind, FaultKind::conflict);
  ASSERT_TRUE(destroy("c1", Leftovers::remove));
  EXPECT_EQ(run("true", plenty).error().fault.kind, FaultKind::not_found);
}

TEST_F(DockerRuntimes, KeepTheNewestOfWhatTheySaid) {
  script("echo one; echo two >&2; echo three; exec sleep 600");
  must_create("c1");
  std::string text;
  ASSERT_TRUE(test::comes_true([this, &text] {
    text = control.run(provider().log(id_of("c1"), 1000)).value();
    return text.size() == 14;
  })) << text;
  EXPECT_NE(text.find("two\n"), std::string::npos);
  EXPECT_EQ(control.run(provider().log(id_of("c1"), 4)).value().size(), 4U);
  EXPECT_EQ(control.run(provider().log(id_of("c2"), 4)).error().fault.kind, FaultKind::not_found);
}

TEST_F(DockerRuntimes, AreOneHoweverManyStartThemAtOnce) {
  auto& one = provider();
  auto& two = another();
  TaskGroup starts(control.executor());
  std::vector<Outcome<Instance>> outcomes;
  auto const start = [](RuntimeProvider& at, Spec spec, std::vector<Outcome<Instance>>& all) -> Task<> {
    auto made = co_await at.create(std::move(spec), Deadline::in(plenty));
    all.push_back(std::move(made));
  };
  for (int i = 0; i < 20; ++i) starts.spawn("start", start(i % 2 == 0 ? one : two, spec_of("c1"), outcomes));
  ASSERT_TRUE(control.run(starts.join()));
  std::set<std::string> handles;
  for (auto const& outcome : outcomes) {
    if (outcome) {
      handles.insert(outcome->handle);
      EXPECT_TRUE(is_alive(*outcome));
    } else {
      EXPECT_EQ(outcome.error().fault.kind, FaultKind::conflict) << outcome.error().reason;
    }
  }
  EXPECT_EQ(handles.size(), 1U);
  EXPECT_EQ(containers_named("openhands-runtime-c1"), 1U);
  EXPECT_TRUE(ends.empty());
}

TEST_F(DockerRuntimes, AreNeverTakenForThoseWhoseIdsBeginAlike) {
  must_create("abcd");
  EXPECT_FALSE(inspect("abc"));
  ASSERT_TRUE(destroy("abc", Leftovers::remove));
  auto const shorter = must_create("abc");
  EXPECT_FALSE(shorter.existed);
  EXPECT_EQ(listed(), (std::vector<std::string>{"abc running", "abcd running"}));
  ASSERT_TRUE(destroy("abc", Leftovers::remove));
  EXPECT_EQ(listed(), (std::vector<std::string>{"abcd running"}));
}

TEST_F(DockerRuntimes, HaveOneContainerForAllFormsOfAUuid) {
  auto const made = must_create("9EBA03E6-8CC2-4C3D-AA8A-225F0E79E062");
  EXPECT_EQ(containers_named("openhands-runtime-9eba03e68cc24c3daa8a225f0e79e062"), 1U);
  EXPECT_EQ(listed(), (std::vector<std::string>{"9EBA03E6-8CC2-4C3D-AA8A-225F0E79E062 running"}));
  EXPECT_EQ(inspect("9eba03e68cc24c3daa8a225f0e79e062")->instance.handle, made.handle);
}

// By the engine's words for what it was told, each in one state.
struct Before {
  std::string name;
  std::vector<std::string> told;
};

TEST_F(DockerRuntimes, AreAdoptedInWhateverStateTheyAreFound) {
  settings.container_port = 8000;
  Before const states[] = {
      {"created", {}}, {"running", {"start"}}, {"paused", {"start", "pause"}}, {"exited", {"start", "kill"}}};
  for (auto const& [name, told] : states) {
    // As the older manager made them: the port inside is the one that its variable names.
    auto const by_variable = put("openhands-runtime-v-" + name, foreign("34567", R"("port=34567","SESSION_API_KEY=k")"));
    auto const by_port = put("openhands-runtime-p-" + name, foreign("8000", R"("OH_SESSION_API_KEYS_0=k2")"));
    for (auto const& handle : {by_variable, by_port})
      for (auto const& what : told) tell(handle, what);
    auto const first = create("v-" + name);
    ASSERT_TRUE(first) << name << ": " << first.error().reason;
    EXPECT_EQ(first->handle, by_variable);
    EXPECT_TRUE(first->existed);
    EXPECT_EQ(first->session_key.value().reveal(), "k");
    EXPECT_TRUE(is_alive(*first)) << name;
    auto const second = create("p-" + name);
    ASSERT_TRUE(second) << name << ": " << second.error().reason;
    EXPECT_EQ(second->handle, by_port);
    EXPECT_EQ(second->session_key.value().reveal(), "k2");
    EXPECT_TRUE(is_alive(*second)) << name;
  }
  EXPECT_TRUE(listed().empty()) << "they are not of this installation";
  EXPECT_EQ(inspect("v-exited")->presence, Presence::running);
  ASSERT_TRUE(destroy("v-exited", Leftovers::remove));
  EXPECT_FALSE(inspect("v-exited")) << "what was adopted is ended like any other";
  tell("openhands-runtime-p-paused", "kill");
  EXPECT_EQ(wait_for_end(), "p-paused 7 exited with status 137");
}

TEST_F(DockerRuntimes, TolerateForeignContainersThatLookLikeTheirs) {
  std::string const silent = R"({"Image":"nestgate-test:1","Cmd":["sleep","600"])";
  auto const stray = put("openhands-runtime-stray", silent + "}");
  tell(stray, "start");
  put("openhands-runtime-other", silent + R"(,"Labels":{"nestgate.installation":"another"}})");
  put("odd", silent + R"(,"Labels":{"nestgate.installation":)" + escaped(settings.installation) + "}}");
  put("openhands-runtime-cut-off", silent + R"(,"Labels":{"nestgate.installation":)" + escaped(settings.installation) +
                                       R"(,"nestgate.conversation":"cut-off"}})");
  must_create("c1");
  EXPECT_EQ(listed(), (std::vector<std::string>{"c1 running", "cut-off stopped"}));
  ASSERT_TRUE(destroy("cut-off", Leftovers::remove));
  EXPECT_EQ(listed(), (std::vector<std::string>{"c1 running"}));
  ASSERT_TRUE(destroy("stray", Leftovers::remove));
  auto const runs = [](std::string const& handle) {
    return engine().ask("GET", "/containers/" + handle + "/json").body.find(R"("Status":"running")") != std::string::npos;
  };
  EXPECT_TRUE(runs(stray)) << "nobody here started or adopted it";
  auto const adopted = create("stray");
  ASSERT_FALSE(adopted);
  EXPECT_EQ(adopted.error().fault.kind, FaultKind::conflict);
  EXPECT_EQ(adopted.error().reason,
            "create: the container openhands-runtime-stray offers no port of its server (neither 8000/tcp nor what its "
            "variable 'port' says)");
  EXPECT_EQ(containers_named("openhands-runtime-stray"), 1U);
  auto const other = create("other");
  EXPECT_EQ(other.error().reason, "create: the container of that name belongs to another installation");
  EXPECT_FALSE(inspect("other"));
  control.run(provider().close());
  EXPECT_TRUE(runs(stray)) << "nor does the gateway's end stop it";
  EXPECT_TRUE(runs("openhands-runtime-c1"));
}

TEST_F(DockerRuntimes, GoToNoOtherOwner) {
  must_create("c1");
  restart();
  auto const taken = create("c1", "bob");
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().fault.kind, FaultKind::conflict);
  EXPECT_EQ(taken.error().reason, "create: this id has a container that belongs to someone else");
  EXPECT_EQ(inspect("c1")->presence, Presence::running);
  EXPECT_TRUE(must_create("c1").existed) << "its owner, whatever gateway runs now";
}

TEST_F(DockerRuntimes, OutliveTheirGateway) {
  auto const made = must_create("c1");
  ASSERT_TRUE(is_alive(made));
  restart();
  EXPECT_EQ(listed(), (std::vector<std::string>{"c1 running"}));
  auto const adopted = create("c1", "alice", 8);
  ASSERT_TRUE(adopted) << adopted.error().reason;
  EXPECT_EQ(adopted->handle, made.handle);
  EXPECT_EQ(adopted->endpoint, made.endpoint);
  EXPECT_EQ(adopted->session_key.value().reveal(), "the-key-of-c1");
  tell(made.handle, "kill?signal=9");
  EXPECT_EQ(wait_for_end(), "c1 8 exited with status 137");
}

TEST_F(DockerRuntimes, TellHowTheyEnded) {
  script("echo first; echo the key is $SESSION_API_KEY; exit 5");
  auto const made = create("c1");
  // Whoever is quicker: the start sees it, or it is told afterwards.
  std::string const said = made ? wait_for_end() : made.error().reason;
  EXPECT_NE(said.find("exited with status 5: the key is ***"), std::string::npos) << said;

  script("x=aaaaaaaaaaaaaaaa; while :; do x=$x$x; done");
  settings.memory_bytes = 16 * 1024 * 1024;
  ends.clear();
  restart();
  auto const greedy = create("c2");
  std::string const greedy_end = greedy ? wait_for_end() : greedy.error().reason;
  EXPECT_NE(greedy_end.find("was out of memory"), std::string::npos) << greedy_end;

  script("exec sleep 600");
  settings.memory_bytes = 0;
  restart();
  must_create("c3");
  ends.clear();
  engine().ask("DELETE", "/containers/openhands-runtime-c3?force=1");
  auto const removed = wait_for_end();
  EXPECT_TRUE(removed.starts_with("c3 7 ")) << removed;
  EXPECT_EQ(ends.size(), 1U);
  EXPECT_FALSE(create("c4", "alice").has_error());
}

TEST_F(DockerRuntimes, SayWhatTheyCannotBeStartedWith) {
  settings.image = "nestgate-none:1";
  auto const missing = create("c1");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().fault.kind, FaultKind::unavailable);
  EXPECT_NE(missing.error().reason.find("No such image: nestgate-none:1"), std::string::npos) << missing.error().reason;

  restart();
  settings.pull = DockerSettings::Pull::missing;
  settings.image = "127.0.0.1:1/nestgate-none:1";  // a registry where nobody listens
  std::vector<std::string> progress;
  provider().on_progress([&progress](ConversationId const&, std::string_view news) { progress.emplace_back(news); });
  auto const unpulled = create("c1");
  ASSERT_FALSE(unpulled);
  EXPECT_EQ(unpulled.error().fault.kind, FaultKind::unavailable);
  EXPECT_TRUE(unpulled.error().reason.starts_with("pull: ")) << unpulled.error().reason;
  EXPECT_EQ(progress, (std::vector<std::string>{"pulling image"}));

  restart();
  settings.image = image;
  settings.command = {"no-such-program"};
  auto const unstarted = create("c1");
  ASSERT_FALSE(unstarted);
  EXPECT_NE(unstarted.error().reason.find("no-such-program"), std::string::npos) << unstarted.error().reason;
  EXPECT_EQ(containers_named("openhands-runtime-c1"), 0U) << "nothing is left of it";

  auto spec = spec_of("c1");
  spec.wish.image = "../x";
  auto const odd = control.run(provider().create(std::move(spec), Deadline::in(plenty)));
  EXPECT_EQ(odd.error().fault.kind, FaultKind::bad_input);
}

TEST_F(DockerRuntimes, HaveTheirImagePulledWithTheRegistrysPassword) {
  test::TempFolder folder, programs, more;
  test::copy_programs(programs.path(), {NESTLET_PROGRAM});
  more.write("more", "of it");
  test::ImageRegistry const registry({programs.path(), more.path()}, "dTpw");  // u:p
  settings.pull = DockerSettings::Pull::missing;
  settings.image = registry.image();
  settings.registry_auth_file = folder.path() / "auth";
  auto const unread = create("c1");
  ASSERT_FALSE(unread);
  EXPECT_EQ(unread.error().reason,
            "pull: " + settings.registry_auth_file.string() + " cannot be read (runtime.docker.registry_auth_file)");
  auto const auth = [&registry](std::string_view password) {
    auto const server = registry.image().substr(0, registry.image().find('/'));
    return R"({"username":"u","password":")" + std::string(password) + R"(","serveraddress":")" + server + "\"}";
  };
  folder.write("auth", auth("wrong"));
  auto const refused = create("c1");
  ASSERT_FALSE(refused);
  EXPECT_TRUE(refused.error().reason.starts_with("pull: the Docker engine says: ")) << refused.error().reason;
  EXPECT_EQ(refused.error().reason.find("wrong"), std::string::npos) << refused.error().reason;

  folder.write("auth", R"({"username":"u","password":"p","serveraddress":"registry.example"})");
  EXPECT_FALSE(create("c1")) << "that password is another registry's";
  folder.write("auth", auth("p"));
  std::vector<std::string> progress;
  provider().on_progress([&progress](ConversationId const& id, std::string_view news) {
    progress.push_back(id.text() + " " + std::string(news));
  });
  auto const made = create("c1");
  ASSERT_TRUE(made) << made.error().reason;
  EXPECT_TRUE(is_alive(*made));
  ASSERT_GT(progress.size(), 1U);
  EXPECT_EQ(progress.front(), "c1 pulling image");
  EXPECT_EQ(progress.back(), "c1 pulling image: layer 2 of 2");
  progress.clear();
  ASSERT_TRUE(create("c2"));
  EXPECT_TRUE(progress.empty()) << "it is there now";
}

TEST_F(DockerRuntimes, FindTheImagesOfTheEngineAndWhereTheyWouldPullThoseOfTheRegistry) {
  auto const has = [this](std::string name) {
    auto const found = control.run(provider().has_image(std::move(name), Deadline::in(plenty)));
    if (!found) return found.error().reason;
    return std::string(found->value() ? "yes" : "no");
  };
  EXPECT_EQ(has(image), "yes");
  EXPECT_EQ(has("nestgate-none:1"), "no") << "nothing is pulled: the engine's own are all";
  EXPECT_EQ(has("../x"), "no");

  test::TempFolder folder;
  folder.write("layer", "of it");
  test::ImageRegistry const registry({folder.path()}, "dTpw");  // u:p
  auto const auth = [&registry](std::string_view password) {
    auto const server = registry.image().substr(0, registry.image().find('/'));
    return R"({"username":"u","password":")" + std::string(password) + R"(","serveraddress":"http://)" + server + "/v2/\"}";
  };
  settings.registry_auth_file = folder.write("auth", auth("p"));
  settings.pull = DockerSettings::Pull::missing;
  restart();
  EXPECT_EQ(has(registry.image()), "yes");
  auto const other = registry.image().substr(0, registry.image().rfind('/')) + "/none:1";
  EXPECT_EQ(has(other), "no");
  EXPECT_EQ(engine().ask("GET", "/images/" + registry.image() + "/json").status, 404U) << "asking pulls nothing";
  EXPECT_EQ(has(image), "yes") << "it is there: no registry is asked";
  folder.write("auth", R"({"username":"u","password":"p"})");
  EXPECT_EQ(has(registry.image()), "no") << "that is docker.io's password";
  folder.write("auth", auth("wrong"));
  EXPECT_EQ(has(registry.image()), "no") << "a start would not get it";

  settings.host = "unix:///nowhere/docker.sock";
  restart();
  EXPECT_EQ(has(image), "docker: the Docker engine at /nowhere/docker.sock: No such file or directory");
}

TEST_F(DockerRuntimes, LeaveNothingWhenTheirStartIsCancelled) {
  provider();
  for (auto const after : {0ms, 5ms, 20ms, 60ms, 150ms}) {
    auto const start = [](RuntimeProvider& at, Spec spec, bool& has_ended) -> Task<> {
      [[maybe_unused]] auto const made = co_await at.create(std::move(spec), Deadline::in(plenty));
      has_ended = true;
    };
    TaskGroup starts(control.executor());
    bool has_ended = false;
    starts.spawn("start", start(provider(), spec_of("c1"), has_ended));
    auto const moment = Clock::now() + after;
    control.run_until([&moment] { return Clock::now() >= moment; });
    bool const was_cancelled = !has_ended;
    starts.stop();
    ASSERT_TRUE(control.run(starts.join()));
    if (was_cancelled) EXPECT_EQ(containers_named("openhands-runtime-c1"), 0U) << after.count();
    ASSERT_TRUE(destroy("c1", Leftovers::remove));
  }
}

TEST_F(DockerRuntimes, HaveTheLimitsAndThePlaceThatTheSettingsGive) {
  settings.memory_bytes = 64 * 1024 * 1024;
  settings.cpus = 0.5;
  settings.pids_max = 99;
  settings.user = "0:0";
  settings.environment = {{"port", "{port}"}, {"WHO", "{id}"}, {"SESSION_API_KEY", "not this"}};
  settings.ports = {{"editor", 8001}};
  settings.volumes = {"work-{id}:/workspace"};
  auto spec = spec_of("c1");
  spec.wish.resource_factor = 2;
  spec.wish.working_dir = "/workspace";
  spec.wish.environment.emplace_back("EXTRA", Secret("yes"));
  auto const made = control.run(provider().create(std::move(spec), Deadline::in(plenty)));
  ASSERT_TRUE(made) << made.error().reason;
  EXPECT_TRUE(is_alive(*made));
  EXPECT_EQ(made->workspace, "/workspace");
  ASSERT_EQ(made->ports.size(), 1U);
  EXPECT_EQ(made->ports.at(0).name, "editor");
  EXPECT_EQ(made->ports.at(0).number, 8001);
  EXPECT_NE(made->ports.at(0).endpoint, made->endpoint);
  auto const about = engine().ask("GET", "/containers/" + made->handle + "/json").body;
  for (auto const* part :
       {R"("Memory":134217728)", R"("NanoCpus":1000000000)", R"("PidsLimit":99)", R"("User":"0:0")", R"("WHO=c1")",
        R"("port=8000")", R"("EXTRA=yes")", R"("SESSION_API_KEY=the-key-of-c1")", R"("max-size":"4194304")",
        R"("HostIp":"127.0.0.1")", R"("nestgate.owner":"alice")", R"("nestgate.epoch":"7")"})
    EXPECT_NE(about.find(part), std::string::npos) << part;
  EXPECT_EQ(about.find("not this"), std::string::npos);

  ASSERT_TRUE(destroy("c1", Leftovers::remove));
  EXPECT_EQ(engine().ask("GET", "/volumes/work-c1").status, 404U);
}

TEST_F(DockerRuntimes, GetNoVolumeOfAnotherOwner) {
  settings.volumes = {"work-{id}:/workspace"};
  must_create("c1");
  engine().ask("DELETE", "/containers/openhands-runtime-c1?force=1");
  wait_for_end();
  auto const taken = create("c1", "bob");
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().reason, "create: this id has files that belong to someone else");
  EXPECT_EQ(engine().ask("GET", "/volumes/work-c1").status, 200U);
  EXPECT_TRUE(must_create("c1").endpoint.port() != 0);
  ASSERT_TRUE(destroy("c1", Leftovers::remove));
  EXPECT_EQ(engine().ask("GET", "/volumes/work-c1").status, 404U);
}

TEST_F(DockerRuntimes, AreReachedByTheirOwnAddressWhereTheSettingsSaySo) {
  settings.reach = DockerSettings::Reach::network;
  auto const made = must_create("c1");
  EXPECT_EQ(made.endpoint.port(), 8000);
  EXPECT_TRUE(made.endpoint.at.address().to_string().starts_with("10.213."));
  EXPECT_TRUE(is_alive(made));
}

TEST_F(DockerRuntimes, AreLimitedInNumber) {
  settings.runtimes_max = 1;
  script("exec sleep 600");
  must_create("c1");
  auto const refused = create("c2");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().fault.kind, FaultKind::overloaded);
  EXPECT_EQ(refused.error().reason, "create: all 1 runtimes are in use (runtime.docker.runtimes_max)");
  destroy("c1");
  EXPECT_TRUE(create("c2"));
}

TEST_F(DockerRuntimes, AreKilledWhenTheyIgnoreTheWordOrTheStopIsCutShort) {
  script("trap '' TERM; echo ready; while :; do sleep 600 & wait $!; done");
  must_create("c1");
  ASSERT_TRUE(destroy("c1"));
  EXPECT_EQ(inspect("c1")->presence, Presence::stopped);

  settings.stop_grace = 300s;
  restart();
  must_create("c2");
  TaskGroup stops(control.executor());
  auto const stop = [](RuntimeProvider& at, ConversationId id) -> Task<> {
    [[maybe_unused]] auto const done = co_await at.destroy(std::move(id), Leftovers::remove);
  };
  stops.spawn("stop", stop(provider(), id_of("c2")));
  asio::post(control.executor(), [&stops] { stops.stop(); });
  ASSERT_TRUE(control.run(stops.join()));
  EXPECT_FALSE(inspect("c2"));
}

// An end of what an earlier gateway left goes on while a client starts its id.
TEST_F(DockerRuntimes, TellTheirEndWhenTheyWereAdoptedWhileTheyWereEnded) {
  script("trap 'echo asked' TERM; while :; do sleep 600 & wait $!; done");
  settings.stop_grace = 2s;
  must_create("c1");
  restart();
  TaskGroup ends_of_others(control.executor());
  auto const end = [](RuntimeProvider& at) -> Task<> {
    auto const ended = co_await at.destroy(id_of("c1"), Leftovers::keep);
    EXPECT_TRUE(ended) << ended.error().reason;
  };
  ends_of_others.spawn("end", end(provider()));
  auto& other = another();
  ASSERT_TRUE(test::comes_true([this, &other] { return control.run(other.log(id_of("c1"), 100)).value() == "asked\n"; }));
  auto const adopted = create("c1", "alice", 8);
  ASSERT_TRUE(adopted) << adopted.error().reason;
  ASSERT_TRUE(control.run(ends_of_others.join()));
  EXPECT_EQ(wait_for_end(), "c1 8 exited with status 137: asked");
  EXPECT_TRUE(must_create("c1").existed);
}

TEST_F(DockerRuntimes, MayBeEndedAtAnyMomentOfTheirStart) {
  script("exec sleep 600");
  provider();
  TaskGroup starts(control.executor());
  std::optional<Outcome<Instance>> made;
  auto const start = [](RuntimeProvider& at, std::optional<Outcome<Instance>>& out) -> Task<> {
    auto outcome = co_await at.create(spec_of("c1"), Deadline::in(plenty));
    out.emplace(std::move(outcome));
  };
  starts.spawn("start", start(provider(), made));
  while (!made) ASSERT_TRUE(destroy("c1"));
  ASSERT_TRUE(control.run(starts.join()));
  ASSERT_TRUE(destroy("c1"));
  must_create("c1");
  tell("openhands-runtime-c1", "kill");
  control.run_until([this] { return !ends.empty() && ends.back() == "c1 7 exited with status 137"; });
}

TEST_F(DockerRuntimes, AreGivenAwayAwakenedOnly) {
  auto dormant = spec_of("warm-1", "");
  dormant.wakefulness = Spec::Wakefulness::dormant;
  auto const made = control.run(provider().create(std::move(dormant), Deadline::in(plenty)));
  ASSERT_TRUE(made) << made.error().reason;
  ASSERT_TRUE(is_alive(*made));
  auto const about = engine().ask("GET", "/containers/" + made->handle + "/json").body;
  for (auto const* part : {R"("OH_SESSION_API_KEYS_0=the-key-of-warm-1")", R"("OH_SECRET_KEY=the-key-of-warm-1")",
                           R"("OH_DEFERRED_INIT=true")"})
    EXPECT_NE(about.find(part), std::string::npos) << part;
  EXPECT_EQ(about.find("\"SESSION_API_KEY="), std::string::npos);

  auto const given = control.run(provider().assign(id_of("warm-1"), spec_of("c1", "alice", 9)));
  ASSERT_TRUE(given) << given.error().reason;
  EXPECT_EQ(given->handle, made->handle);
  EXPECT_EQ(given->endpoint, made->endpoint);
  EXPECT_FALSE(given->session_key) << "its key is what it is told when it wakes";
  restart();
  auto const found = create("c1", "alice", 9);
  ASSERT_TRUE(found) << found.error().reason;
  EXPECT_FALSE(found->session_key);
  EXPECT_EQ(found->boot_key.value().reveal(), "the-key-of-warm-1") << "who gave it away may have told it nothing";
  EXPECT_EQ(listed(), (std::vector<std::string>{"c1 running"}));
  EXPECT_FALSE(inspect("warm-1"));

  must_create("warm-2");
  auto const taken = control.run(provider().assign(id_of("warm-2"), spec_of("c1")));
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().fault.kind, FaultKind::conflict);
  EXPECT_EQ(listed(), (std::vector<std::string>{"c1 running", "warm-2 running"}));
  EXPECT_EQ(control.run(provider().assign(id_of("none"), spec_of("c9"))).error().fault.kind, FaultKind::not_found);

  tell(made->handle, "kill");
  EXPECT_EQ(wait_for_end(), "c1 9 exited with status 137");
  auto const again = create("c1");
  ASSERT_TRUE(again) << again.error().reason;
  EXPECT_FALSE(again->session_key);
  EXPECT_EQ(again->boot_key.value().reveal(), "the-key-of-warm-1") << "it starts dormant, with its first key";
}

TEST_F(DockerRuntimes, OfTheWarmPoolAreStartedAgainWithTheKeyOfTheirConversation) {
  std::vector<Secret> secrets;
  secrets.emplace_back("0123456789abcdef0123456789abcdef");
  auto const ring = std::make_shared<identity::KeyRing const>(identity::Derivation::sha256, std::move(secrets));
  test::Backing const backing(control);
  test::RecordingPublisher publisher;
  conversation::ManagerSettings managed;
  managed.warm_runtimes = 1;
  conversation::Manager manager(control.executor(), make(), publisher, ring, *backing.store, *backing.credentials, managed);
  EXPECT_TRUE(control.run(manager.recover()));
  control.run_until([&] { return manager.stats().warm_ready.read() == 1; });
  for (int i = 0; i < 2; ++i) {
    conversation::StartRequest request;
    request.id = id_of("c1");
    request.by = {"alice", identity::Role::user, "alice"};
    request.configuration.secrets.push_back({"NAME", Secret("value"), ""});
    auto const started = control.run(manager.start(std::move(request)));
    EXPECT_TRUE(started) << started.error().reason;
    if (!started) break;
    Instance at;
    at.endpoint = started->view.endpoint;
    EXPECT_EQ(status_with(at, ring->derive(id_of("c1")).reveal()), 200U);
    EXPECT_TRUE(control.run(manager.stop(id_of("c1"))));
  }
  EXPECT_EQ(manager.stats().warm_starts.read(), 1U);
  control.run(manager.stop_all());
}

TEST_F(DockerRuntimes, TellWhatTheyUse) {
  script("while :; do :; done");
  must_create("c1");
  auto const usage = [this] { return control.run(provider().usage(id_of("c1"), Deadline::in(plenty))).value(); };
  auto const first = usage();
  ASSERT_TRUE(first.memory_bytes);
  ASSERT_TRUE(first.cpu_time);
  EXPECT_GT(*first.memory_bytes, 0U);
  control.run_until([&] { return *usage().cpu_time > *first.cpu_time + 20ms; });
  ASSERT_TRUE(destroy("c1"));
  auto const after = control.run(provider().usage(id_of("c1"), Deadline::in(plenty)));
  EXPECT_FALSE(after && after->memory_bytes);
  EXPECT_EQ(control.run(provider().usage(id_of("none"), Deadline::in(plenty))).error().fault.kind, FaultKind::not_found);
}

TEST_F(DockerRuntimes, NeedNoEngineUntilTheyAreStarted) {
  settings.host = "unix:///nowhere/docker.sock";
  auto const refused = create("c1");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().fault.kind, FaultKind::unavailable);
  EXPECT_EQ(refused.error().reason, "docker: the Docker engine at /nowhere/docker.sock: No such file or directory");
  settings.call_time_max = 50ms;
  restart();
  auto const lost = destroy("c1");
  ASSERT_FALSE(lost);
  EXPECT_EQ(lost.error().fault.kind, FaultKind::unavailable);
  EXPECT_EQ(destroy("c1", Leftovers::remove).error().fault.kind, FaultKind::internal);
  EXPECT_FALSE(control.run(provider().list()));
}

// Those whose engine is stopped and started have one of their own.
class DockerEngineRestarts : public DockerRuntimes {
 protected:
  void SetUp() override {}
  void TearDown() override { restart(); }
  // False when there is no engine.
  bool start_engine(std::vector<std::string> flags) {
    own = std::make_unique<DockerEngine>(std::move(flags));
    if (!own->problem().empty()) return false;
    import_image(*own);
    use(own->host());
    script("trap 'exit 7' TERM; while :; do sleep 600 & wait $!; done");
    return true;
  }
  std::unique_ptr<DockerEngine> own;
};

TEST_F(DockerEngineRestarts, LeaveThoseAloneThatTheEngineKeepsAlive) {
  if (!start_engine({"--live-restore"})) GTEST_SKIP() << own->problem();
  must_create("c1");
  auto const dying = must_create("c2");
  for (int const signal : {SIGTERM, SIGKILL}) {
    own->stop(signal);
    EXPECT_EQ(create("c9").error().fault.kind, FaultKind::unavailable);
    ASSERT_EQ(own->start(), "");
    EXPECT_EQ(listed(), (std::vector<std::string>{"c1 running", "c2 running"}));
  }
  EXPECT_TRUE(ends.empty()) << ends.at(0);
  own->ask("POST", "/containers/" + dying.handle + "/kill");
  EXPECT_EQ(wait_for_end(), "c2 7 exited with status 137") << "the events go on";
  EXPECT_EQ(listed(), (std::vector<std::string>{"c1 running", "c2 stopped"}));
}

TEST_F(DockerEngineRestarts, TellWhoseEndCameWithTheEngines) {
  if (!start_engine({})) GTEST_SKIP() << own->problem();
  for (int const signal : {SIGTERM, SIGKILL}) {
    must_create("c1");
    must_create("c2");
    ends.clear();
    own->stop(signal);
    ASSERT_EQ(own->start(), "");
    control.run_until([this] { return ends.size() == 2; });
    std::sort(ends.begin(), ends.end());
    EXPECT_TRUE(ends.at(0).starts_with("c1 7 exited with status ")) << ends.at(0);
    EXPECT_TRUE(ends.at(1).starts_with("c2 7 exited with status ")) << ends.at(1);
    EXPECT_EQ(listed(), (std::vector<std::string>{"c1 stopped", "c2 stopped"}));
  }
  EXPECT_TRUE(must_create("c1").existed);
}

TEST_F(DockerEngineRestarts, AreWaitedForByAnEndThatWasAskedFor) {
  if (!start_engine({"--live-restore"})) GTEST_SKIP() << own->problem();
  must_create("c1");
  own->stop(SIGKILL);
  own->begin_start();  // it is not there yet when it is first asked
  EXPECT_TRUE(destroy("c1", Leftovers::remove));
  EXPECT_TRUE(listed().empty());
}

TEST_F(DockerEngineRestarts, AnEngineIsSpokenToOverTls) {
  test::TempFolder folder;
  auto const theirs = test::make_certificate(folder.path(), "engine", {"localhost"});
  auto const ours = test::make_certificate(folder.path(), "gateway", {"gateway"});
  std::uint16_t port = 0;
  {
    test::Server free([](test::Connection&) {});
    port = free.port();
  }
  auto const at = "localhost:" + std::to_string(port);
  bool const has_started = start_engine({"-H", "tcp://127.0.0.1:" + std::to_string(port), "--tlsverify", "--tlscacert",
                                         ours.cert_file, "--tlscert", theirs.cert_file, "--tlskey", theirs.key_file});
  if (!has_started) GTEST_SKIP() << own->problem();
  settings.host = "tcp://" + at;
  settings.tls = {theirs.cert_file, ours.cert_file, ours.key_file};
  serve();
  auto const made = must_create("c1");
  EXPECT_TRUE(is_alive(made));
  own->ask("POST", "/containers/" + made.handle + "/kill");
  EXPECT_EQ(wait_for_end(), "c1 7 exited with status 137");
  settings.tls = {theirs.cert_file, {}, {}};
  restart();
  auto const stranger = create("c2");
  ASSERT_FALSE(stranger);
  EXPECT_EQ(stranger.error().fault.kind, FaultKind::unavailable);
  EXPECT_TRUE(stranger.error().reason.starts_with("docker: the Docker engine at " + at + ": ")) << stranger.error().reason;
}

}  // namespace
}  // namespace nestgate::runtime
