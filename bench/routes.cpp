// How quickly routes change: everything published to every core, as the gateway does it.
//
//   routes [--routes 50000] [--threads 2] [--batch 1000] [--singles 5000]
//
// Prints the load of all routes at once, changes in batches, single adds and removes, and what a core's other work had to
// wait for its turn meanwhile.
#include <algorithm>
#include <boost/asio/executor_work_guard.hpp>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>
#include <string_view>
#include <vector>

#include "nestgate/proxy/core_set.hpp"

namespace {

using namespace nestgate;

struct Wanted {
  std::size_t routes = 50'000;
  unsigned threads = 2;
  std::size_t batch = 1'000;
  std::size_t singles = 5'000;
};

class NoRoutes final : public proxy::OwnRoutes {
 public:
  bool admits_without_api_key(http::Method, std::string_view) const noexcept override { return false; }
  proxy::BodyLimit body_limit(proxy::ApiRequest const&) const noexcept override { return {}; }
  Task<proxy::ApiResponse> handle(proxy::ApiRequest) override { co_return proxy::ApiResponse{}; }
};

class NoWaker final : public conversation::Waker {
 public:
  Task<bool> wake(ConversationId, Deadline) override { co_return false; }
};

ConversationId id_of(std::size_t i) { return *ConversationId::parse("conversation-" + std::to_string(i)); }

// All at one port, each at an address of its own, as containers are.
conversation::RuntimeRecordPtr record_of(std::size_t i, std::uint64_t epoch) {
  asio::ip::address_v4 const address(static_cast<std::uint32_t>(0x0A000000 + i));
  auto const key = "key-of-conversation-" + std::to_string(i) + "-which-is-as-long-as-derived";
  auto record =
      std::make_shared<conversation::RuntimeRecord>(conversation::RuntimeRecord{id_of(i),
                                                                                Epoch(epoch),
                                                                                conversation::RuntimeState::running,
                                                                                "owner",
                                                                                asio::ip::tcp::endpoint(address, 8000),
                                                                                Secret(key),
                                                                                {},
                                                                                {}});
  record->accepted_keys.emplace_back(key);
  return record;
}

double seconds_since(Clock::time_point began) { return std::chrono::duration<double>(Clock::now() - began).count(); }

// In microseconds.
class Times {
 public:
  void add(Clock::time_point began) { all_.push_back(seconds_since(began) * 1e6); }
  void print(char const* what) {
    std::sort(all_.begin(), all_.end());
    auto const at = [this](double share) {
      return all_[static_cast<std::size_t>(share * static_cast<double>(all_.size() - 1))];
    };
    std::printf("%-32s p50 %8.1f us   p99 %8.1f us   max %8.1f us   of %zu\n", what, at(0.5), at(0.99), at(1), all_.size());
  }

 private:
  std::vector<double> all_;
};

// Asks every core over and over, as a request would.
Task<> ask_cores(proxy::CoreSet& cores, bool const& enough, Times& waits) {
  while (!enough) {
    auto const began = Clock::now();
    co_await cores.withdraw(id_of(0), Epoch(0));  // of an older life: nothing happens but the way there and back
    waits.add(began);
  }
}

Task<> load(proxy::CoreSet& cores, Wanted const& wanted) {
  std::vector<conversation::RuntimeRecordPtr> records;
  for (std::size_t i = 0; i < wanted.routes; ++i) records.push_back(record_of(i, 1));
  auto const began = Clock::now();
  co_await cores.apply(std::move(records), {});
  std::printf("%zu routes on %u cores in %.3f s\n", wanted.routes, wanted.threads, seconds_since(began));
}

// Half of each batch are changed routes, the rest go and come.
Task<> change_in_batches(proxy::CoreSet& cores, Wanted const& wanted) {
  constexpr std::size_t rounds = 40;
  std::size_t changes = 0;
  auto const began = Clock::now();
  for (std::size_t round = 0; round < rounds; ++round) {
    std::vector<conversation::RuntimeRecordPtr> published;
    std::vector<std::pair<ConversationId, Epoch>> withdrawn;
    for (std::size_t i = 0; i < wanted.batch; ++i) {
      auto const which = (round / 2 * wanted.batch + i) % wanted.routes;
      if (i % 4 == 3 && round % 2 == 0) {
        withdrawn.emplace_back(id_of(which), Epoch(round + 1));
      } else {
        published.push_back(record_of(which, round + 2));
      }
    }
    changes += published.size() + withdrawn.size();
    co_await cores.apply(std::move(published), std::move(withdrawn));
  }
  auto const took = seconds_since(began);
  std::printf("batches of %zu: %.0f changes/s\n", wanted.batch, static_cast<double>(changes) / took);
}

Task<> change_singly(proxy::CoreSet& cores, Wanted const& wanted) {
  Times adds, removes;
  for (std::size_t i = 0; i < wanted.singles; ++i) {
    auto const which = wanted.routes + i;
    auto record = record_of(which, 1);
    auto began = Clock::now();
    co_await cores.publish(std::move(record));
    adds.add(began);
    began = Clock::now();
    co_await cores.withdraw(id_of(which), Epoch(1));
    removes.add(began);
  }
  adds.print("one add");
  removes.print("one remove");
}

Task<> measure(proxy::CoreSet& cores, Wanted wanted) {
  co_await load(cores, wanted);
  bool enough = false;
  Times waits;
  TaskGroup asking(co_await asio::this_coro::executor);
  asking.spawn("ask", ask_cores(cores, enough, waits));
  co_await change_in_batches(cores, wanted);
  enough = true;
  auto joined = co_await asking.join();
  NESTGATE_INVARIANT(joined, "nobody cancels the bench");
  waits.print("every core's answer meanwhile");
  co_await change_singly(cores, wanted);
  co_await cores.drain(std::chrono::seconds(0));
}

bool read(Wanted& out, std::string_view flag, char const* value) {
  auto const number = std::strtoul(value, nullptr, 10);
  if (number == 0) return false;
  if (flag == "--routes") return out.routes = number;
  if (flag == "--threads") return out.threads = static_cast<unsigned>(number);
  if (flag == "--batch") return out.batch = number;
  if (flag == "--singles") return out.singles = number;
  return false;
}

}  // namespace

int main(int argc, char** argv) {
  Wanted wanted;
  for (int i = 1; i < argc; i += 2) {
    if (i + 1 < argc && read(wanted, argv[i], argv[i + 1])) continue;
    std::fprintf(stderr, "routes: [--routes N] [--threads N] [--batch N] [--singles N]\n");
    return 2;
  }
  Core control{CoreIndex(1000)};
  NoRoutes own_routes;
  NoWaker waker;
  auto const log = LineSink::nowhere();
  proxy::CoreSet cores(wanted.threads, proxy::Config{}, control, own_routes, waker, *log);
  cores.start();
  std::exception_ptr bug;
  asio::co_spawn(control.loop, quiet(measure(cores, wanted)), [&bug](std::exception_ptr thrown) { bug = thrown; });
  control.loop.run();
  if (bug) std::rethrow_exception(bug);
  return 0;
}
