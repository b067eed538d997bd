#include "nestlet/webhooks.hpp"

#include <algorithm>
#include <condition_variable>
#include <mutex>

#include "support/loopback.hpp"
#include "unit/nestlet/support.hpp"

namespace nestgate::nestlet::testing {
namespace {

constexpr auto hex_id = "0123456789abcdef0123456789abcdef";
std::string const conversation = "/api/conversations/" + std::string(hex_id);

// Somebody who wants to know what happens; the first `failures` posts are answered with 500.
class Receiver {
 public:
  struct Post {
    std::string path, key, body;
    boost::json::value json() const { return boost::json::parse(body); }
  };
  explicit Receiver(unsigned failures = 0)
      : failures_(failures), server_([this](test::Connection& connection) { serve(connection); }) {}
  ~Receiver() { server_.stop(); }

  WebhookSpec spec() const {
    WebhookSpec spec;
    spec.target = HttpTarget{"127.0.0.1", server_.port(), "/hooks"};
    spec.flush_delay = 0;
    spec.retry_delay = 0;
    return spec;
  }
  // The posts to a path, once `holds` is true of them.
  template <class Holds>
  std::vector<Post> wait(std::string const& path, Holds holds) {
    std::unique_lock lock(mutex_);
    std::vector<Post> found;
    auto const is_there = [&] {
      found.clear();
      std::copy_if(posts_.begin(), posts_.end(), std::back_inserter(found), [&](Post const& p) { return p.path == path; });
      return holds(found);
    };
    if (!changed_.wait_for(lock, std::chrono::milliseconds(test::patience_ms), is_there))
      throw test::TimedOut("the posts did not come");
    return found;
  }
  std::size_t count() const {
    std::lock_guard const lock(mutex_);
    return posts_.size();
  }

 private:
  void serve(test::Connection& connection) {
    auto const head = connection.read_until("\r\n\r\n");
    auto const body = connection.read_exactly(std::stoul(test::field_value(head, "content-length")));
    bool is_failure = false;
    {
      std::lock_guard const lock(mutex_);
      is_failure = failures_ > 0;
      if (is_failure) --failures_;
      auto const path = head.substr(5, head.find(' ', 5) - 5);  // POST /…
      posts_.push_back(Post{path, test::field_value(head, "x-session-api-key"), body});
    }
    changed_.notify_all();
    connection.send(is_failure ? "HTTP/1.1 500 x\r\nContent-Length: 0\r\n\r\n"
                               : "HTTP/1.1 200 x\r\nContent-Length: 0\r\n\r\n");
  }

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  unsigned failures_;
  std::vector<Post> posts_;
  test::Server server_;
};

Boot boot_of(WebhookSpec spec) {
  Boot boot;
  boot.webhooks.push_back(std::move(spec));
  return boot;
}

struct Watched : RunningServer {
  explicit Watched(WebhookSpec spec) : RunningServer({}, {"k1"}, Grace::short_for_tests, boot_of(std::move(spec))) {}
  void create() const {
    ASSERT_EQ(call("POST", "/api/conversations", R"({"conversation_id":")" + std::string(hex_id) + "\"}").status, 201u);
  }
  void say(std::string const& text, bool run = false) const {
    boost::json::object const body{{"content", text}, {"run", run}};
    ASSERT_EQ(call("POST", conversation + "/events", boost::json::serialize(body)).status, 200u);
  }
};

std::vector<std::string> statuses(std::vector<Receiver::Post> const& posts) {
  std::vector<std::string> out;
  for (auto const& post : posts) out.push_back(text(post.json().at("execution_status")));
  return out;
}

std::vector<std::string> texts_in(std::vector<Receiver::Post> const& posts) {
  std::vector<std::string> out;
  for (auto const& post : posts) {
    auto const events = post.json();
    for (auto const& event : events.as_array())
      if (auto const* message = event.as_object().if_contains("llm_message"))
        out.push_back(text(message->at("content").at(0).at("text")));
  }
  return out;
}

TEST(Webhook, IsToldThatAConversationStartsPausesAndGoes) {
  Receiver receiver;
  Watched const server(receiver.spec());
  server.create();
  ASSERT_EQ(server.call("POST", conversation + "/stop").status, 200u);
  ASSERT_EQ(server.call("DELETE", conversation).status, 200u);
  auto const posts = receiver.wait("/hooks/conversations", [](auto const& found) { return found.size() >= 3; });
  EXPECT_EQ(statuses(posts), (std::vector<std::string>{"idle", "paused", "deleting"}));
  for (auto const& post : posts) {
    EXPECT_EQ(post.key, "k1");
    EXPECT_EQ(post.json().at("id"), "01234567-89ab-cdef-0123-456789abcdef");
  }
}

TEST(Webhook, GetsAllEventsInTheirOrder) {
  Receiver receiver;
  Watched const server(receiver.spec());
  server.create();
  std::vector<std::string> said;
  for (int i = 0; i < 12; ++i) {
    said.push_back("message " + std::to_string(i));
    server.say(said.back());
  }
  auto const posts = receiver.wait("/hooks/events/" + std::string(hex_id),
                                   [&](auto const& found) { return texts_in(found).size() >= said.size(); });
  EXPECT_EQ(texts_in(posts), said);
}

TEST(Webhook, GetsABatchOnceThereAreEnoughEvents) {
  Receiver receiver;
  auto spec = receiver.spec();
  spec.flush_delay = 86'400;
  Watched server(std::move(spec));
  server.create();
  for (int i = 0; i < 5; ++i) server.say(std::to_string(i));
  auto const posts = receiver.wait("/hooks/events/" + std::string(hex_id), [](auto const& found) { return !found.empty(); });
  EXPECT_EQ(posts.front().json().as_array().size(), 5u);
  server.say("late");
  server.stop();
  auto const all = receiver.wait("/hooks/events/" + std::string(hex_id), [](auto const& found) { return found.size() > 1; });
  EXPECT_EQ(texts_in(all).back(), "late") << "the end of the server sends what waits";
}

TEST(Webhook, IsToldAgainThreeTimesWhenItFails) {
  Receiver receiver(3);
  Watched const server(receiver.spec());
  server.create();
  auto const posts = receiver.wait("/hooks/conversations", [](auto const& found) { return found.size() >= 4; });
  EXPECT_EQ(posts[0].body, posts[3].body);
  Receiver never(1'000'000);
  Watched const other(never.spec());
  other.create();
  ASSERT_EQ(other.call("DELETE", conversation).status, 200u);
  auto const tries = never.wait("/hooks/conversations", [](auto const& found) { return found.size() >= 8; });
  EXPECT_EQ(statuses(tries),
            (std::vector<std::string>{"idle", "idle", "idle", "idle", "deleting", "deleting", "deleting", "deleting"}));
}

TEST(Webhook, ThatAnswersNothingDelaysNoRunAndNoEnd) {
  test::Server silent([](test::Connection& connection) { connection.read_to_end(); });
  WebhookSpec spec;
  spec.target = HttpTarget{"127.0.0.1", silent.port(), ""};
  spec.flush_delay = 0;
  Watched server(std::move(spec));
  server.create();
  server.say("hello", true);
  while (server.call("GET", conversation).json().at("execution_status") != "finished") std::this_thread::yield();
  server.stop();
}

TEST(Webhook, OfADeferredServerGetsTheRealKey) {
  Receiver receiver;
  Boot boot;
  boot.state = InitState::dormant;
  boot.init_key = Secret("boot");
  RunningServer const server({}, {"boot"}, RunningServer::Grace::short_for_tests, std::move(boot));
  boost::json::object const webhook{
      {"base_url", "http://localhost:" + std::to_string(receiver.spec().target.port) + "/hooks/"},
      {"headers", {{"X-Extra", "e"}}}};
  boost::json::object const body{{"session_api_keys", {"k1"}}, {"webhooks", {webhook}}};
  ASSERT_EQ(server.call("POST", "/api/init", boost::json::serialize(body), {{"X-Init-API-Key", "boot"}}).status, 200u);
  ASSERT_EQ(server.call("POST", "/api/conversations", "{}").status, 201u);
  auto const posts = receiver.wait("/hooks/conversations", [](auto const& found) { return !found.empty(); });
  EXPECT_EQ(posts.front().key, "k1");
}

TEST(HttpTarget, IsAPlainHttpUrlWithoutAQuery) {
  auto const form = [](std::string_view url) {
    auto const target = parse_http_target(url);
    return target ? target->host + "|" + std::to_string(target->port) + "|" + target->path : std::string("none");
  };
  EXPECT_EQ(form("http://127.0.0.1:8080/api/v1/webhooks/"), "127.0.0.1|8080|/api/v1/webhooks");
  EXPECT_EQ(form("http://gate"), "gate|80|");
  EXPECT_EQ(form("http://[::1]:1/"), "::1|1|");
  EXPECT_EQ(form("http://[::1]"), "::1|80|");
  for (auto const* url :
       {"", "https://gate", "http://", "http://:80", "http://gate:", "http://gate:0", "http://gate:70000", "http://gate:8x",
        "http://[::1", "http://u@gate", "http://gate/?a=b", "http://gate/#a", "http://gate/\r\nX: y", "gate:80"})
    EXPECT_EQ(form(url), "none") << url;
}

TEST(FindHost, ReadsTheFormOfAHostsFile) {
  constexpr auto hosts =
      "127.0.0.1\tlocalhost\n# 10.0.0.9 gate\nnonsense gate\n172.17.0.1 a host.docker.internal # gate\n\n::1 ip6 \r\n";
  auto const find = [&](std::string_view name) {
    auto const found = find_host(hosts, name);
    return found ? found->to_string() : std::string("none");
  };
  EXPECT_EQ(find("localhost"), "127.0.0.1");
  EXPECT_EQ(find("HOST.docker.internal"), "172.17.0.1");
  EXPECT_EQ(find("ip6"), "::1");
  EXPECT_EQ(find("gate"), "none");
  EXPECT_EQ(find(""), "none");
}

}  // namespace
}  // namespace nestgate::nestlet::testing
