#pragma once

// Stand-ins for what surrounds the conversation manager.

#include <algorithm>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "nestgate/conversation/directory.hpp"
#include "nestgate/runtime/provider.hpp"
#include "support/control.hpp"

namespace nestgate::test {

// Every "runtime" is one scripted server; what the provider is told is written down.
class FakeProvider final : public runtime::RuntimeProvider {
 public:
  explicit FakeProvider(asio::ip::tcp::endpoint server) : server_(server) {}

  // What is created from now on is served by another one.
  void use(asio::ip::tcp::endpoint server) { server_ = server; }

  std::string_view name() const noexcept override { return "fake"; }
  runtime::Traits traits() const noexcept override {
    runtime::Traits out;
    out.pauses = pauses;
    return out;
  }
  Task<upstream::Outcome<runtime::Instance>> create(runtime::Spec spec, Deadline) override {
    calls.push_back("create " + spec.id.text());
    if (refusal) co_return *refusal;
    alive.insert_or_assign(spec.id.canonical(), spec.epoch);
    keys.push_back(std::string(spec.session_key.reveal()));
    wishes.push_back(std::move(spec.wish));
    runtime::Instance instance;
    instance.endpoint = server_;
    if (!own_key.empty()) instance.session_key = Secret(own_key);
    co_return instance;
  }
  Task<upstream::Outcome<>> destroy(ConversationId id, runtime::Leftovers leftovers) override {
    calls.push_back((leftovers == runtime::Leftovers::remove ? "remove " : "destroy ") + id.text());
    if (before_destroy) co_await before_destroy(id);
    alive.erase(id.canonical());
    if (leftovers == runtime::Leftovers::remove && removal_failure) co_return *removal_failure;
    co_return upstream::Outcome<>{};
  }
  Task<upstream::Outcome<>> pause(ConversationId id) override {
    calls.push_back("pause " + id.text());
    if (before_pause) co_await before_pause(id);
    co_return upstream::Outcome<>{};
  }
  Task<upstream::Outcome<runtime::Instance>> resume(runtime::Spec spec, Deadline) override {
    calls.push_back("resume " + spec.id.text());
    alive.insert_or_assign(spec.id.canonical(), spec.epoch);
    runtime::Instance instance;
    instance.endpoint = server_;
    co_return instance;
  }
  Task<> close() override {
    calls.push_back("close");
    alive.clear();
    co_return;
  }
  Task<upstream::Outcome<std::string>> log(ConversationId, std::size_t bytes_max) override {
    co_return said.substr(said.size() - std::min(bytes_max, said.size()));
  }
  Task<upstream::Outcome<std::optional<bool>>> has_image(std::string image, Deadline) override {
    calls.push_back("image " + image);
    if (refusal) co_return *refusal;
    if (!images) co_return std::optional<bool>();
    co_return std::optional(std::find(images->begin(), images->end(), image) != images->end());
  }
  Task<upstream::Outcome<runtime::Usage>> usage(ConversationId, Deadline) override {
    auto const now = used;
    used.cpu_time = used.cpu_time ? std::optional(*used.cpu_time + used_by_look) : std::nullopt;
    co_return now;
  }
  void die(ConversationId const& id, std::string reason) {
    auto const epoch = alive.at(id.canonical());
    alive.erase(id.canonical());
    tell_end(id, epoch, std::move(reason));
  }

  std::optional<upstream::Failure> refusal;
  std::optional<upstream::Failure> removal_failure;
  std::function<Task<>(ConversationId)> before_destroy, before_pause;
  std::string said;                                // by every server
  std::optional<std::vector<std::string>> images;  // nothing: it cannot tell
  runtime::Usage used;                             // what it tells of each runtime
  std::chrono::microseconds used_by_look{};        // more at each look
  std::vector<std::string> calls;
  std::vector<std::string> keys;
  std::vector<runtime::Wish> wishes;
  std::string own_key;  // what it gives its servers; "": the key that it is told
  bool pauses = true;   // else what is paused is stopped
  std::map<std::string, Epoch> alive;

 private:
  asio::ip::tcp::endpoint server_;
};

class RecordingPublisher final : public conversation::DirectoryPublisher {
 public:
  Task<> publish(conversation::RuntimeRecordPtr record) override {
    events.push_back(record->id.text() + " " + std::string(to_string(record->state)));
    auto& known = records[record->id.canonical()];
    if (!known || !(record->epoch < known->epoch)) known = record;  // messages may be late
    last = std::move(record);
    ++under_way;
    if (takes_its_time) co_await way_to_the_cores();
    --under_way;
  }
  Task<> withdraw(ConversationId id, Epoch) override {
    events.push_back(id.text() + " withdrawn");
    records.erase(id.canonical());
    co_return;
  }
  Task<> add_alias(ConversationId, ConversationId) override { co_return; }
  Task<std::vector<conversation::Activity>> activity() override {
    if (before_activity) before_activity();
    co_return used;
  }

  bool takes_its_time = false;  // as the cores do: others run while one is told
  std::size_t under_way = 0;    // records that not all cores took in yet
  std::vector<conversation::Activity> used;
  std::function<void()> before_activity;  // called whenever it is asked for
  std::vector<std::string> events;
  conversation::RuntimeRecordPtr last;
  std::map<std::string, conversation::RuntimeRecordPtr> records;  // by canonical id: what the cores know now

 private:
  static Task<> way_to_the_cores() {
    constexpr int hops = 20;
    auto const executor = co_await asio::this_coro::executor;
    for (int i = 0; i < hops; ++i) co_await asio::post(executor, no_throw);
  }
};

}  // namespace nestgate::test
