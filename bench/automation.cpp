// Measures what of the automations is in the store and the service, on a fresh store of its own; a JSON object on stdout.
//
//   automation claims    --store URL --runs 30000       runs a second through claim and completion, each by itself
//   automation due       --store URL --automations N    all due at one moment: how long until the last run is durable
//   automation lateness  --store URL --schedules N --seconds 20 --period 60     one moment each in 60 or 3600 seconds
//   automation callbacks --store URL --callbacks N --sink 127.0.0.1:PORT        from the outbox until each is written down
//
// What PostgreSQL's URL holds as a password is read from the environment (PGPASSWORD).
#include <sys/resource.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "automation/planner.hpp"
#include "automation/poster.hpp"
#include "automation/run_book.hpp"
#include "nestgate/automation/completion.hpp"
#include "nestgate/base/text.hpp"
#include "nestgate/codec/json_writer.hpp"
#include "nestgate/store/store.hpp"
#include "nestgate/upstream/random.hpp"
#include "sockets.hpp"

namespace {

using namespace nestgate;
using namespace std::chrono_literals;
using automation::RunBook;
using automation::Settings;
using automation::Stats;
using store::AutomationRow;
using store::AutomationStore;
using store::RunRow;
using SystemClock = std::chrono::system_clock;

constexpr std::size_t created_at_once = 256;
constexpr std::size_t claims_at_once = 256;   // as the service's dispatcher
constexpr std::size_t in_flight_max = 1'000;  // as automation.runs_in_flight_max by default
constexpr std::size_t automations_of_runs = 100;
constexpr std::string_view gateway = "bench";

struct Flags {
  std::string store;
  std::uint64_t runs = 30'000, automations = 10'000, schedules = 10'000, seconds = 20, period = 60, callbacks = 10'000;
  std::string sink = "127.0.0.1:1";
};

[[noreturn]] void give_up(std::string_view what, std::string_view why) {
  std::fprintf(stderr, "%.*s: %.*s\n", static_cast<int>(what.size()), what.data(), static_cast<int>(why.size()), why.data());
  std::exit(1);
}

template <class T>
T must(upstream::Outcome<T> outcome, std::string_view what) {
  if (!outcome) give_up(what, outcome.error().reason);
  if constexpr (!std::is_void_v<T>) return std::move(*outcome);
}

std::string new_id() { return dashed_uuid(upstream::random_uuid_hex()); }
double seconds_of(std::chrono::nanoseconds time) { return std::chrono::duration<double>(time).count(); }
double milliseconds_of(std::chrono::nanoseconds time) { return seconds_of(time) * 1000; }

store::Tenant const tenant{"4d4f1b4e-6a2f-5c8e-9a3e-0d2f8f0c1a11", "8b0b52d3-7a34-5f0c-8f5a-2f5f9c6b7d22"};

double cpu_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  auto const of = [](timeval const& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return of(usage.ru_utime) + of(usage.ru_stime);
}

// Nearest rank.
std::chrono::nanoseconds percentile(std::vector<std::chrono::nanoseconds> const& sorted, double share) {
  auto const rank = static_cast<std::size_t>(std::ceil(share * static_cast<double>(sorted.size())));
  return sorted[std::clamp<std::size_t>(rank, 1, sorted.size()) - 1];
}

// "minute hour day month * second", in UTC.
std::string once_a_year_at(SystemClock::time_point moment) {
  auto const day = std::chrono::floor<std::chrono::days>(moment);
  std::chrono::year_month_day const date(day);
  std::chrono::hh_mm_ss const time(std::chrono::floor<std::chrono::seconds>(moment - day));
  return std::to_string(time.minutes().count()) + " " + std::to_string(time.hours().count()) + " " +
         std::to_string(static_cast<unsigned>(date.day())) + " " + std::to_string(static_cast<unsigned>(date.month())) +
         " * " + std::to_string(time.seconds().count());
}

class Bench {
 public:
  explicit Bench(Flags flags) : flags_(std::move(flags)) {
    settings_.private_callbacks = automation::PrivateCallbacks::allow;
    std::vector<Secret> keys;
    keys.emplace_back("0123456789abcdef0123456789abcdef");
    auto opened = store::open_store(flags_.store, std::move(keys), loop_.get_executor());
    store_ = must(std::move(opened), "the store");
  }

  void run(std::function<Task<>(Bench&)> const& what) {
    asio::co_spawn(loop_, whole(what), [](std::exception_ptr bug) {
      if (bug) std::rethrow_exception(bug);
    });
    loop_.run();
    std::printf("%s\n", out_.c_str());
  }

  Task<> claims() {
    auto const automations = co_await create_automations(automations_of_runs, [](std::size_t, AutomationRow&) {});
    co_await enqueue(automations, flags_.runs);
    auto waiting = must(co_await rows().waiting_since(0, flags_.runs), "waiting_since");
    RunBook book(rows(), stats_);
    book.listen({[](RunRow const&) {}, [](RunRow const&) {}, [] {}});
    TaskGroup completions(loop_.get_executor());
    std::size_t in_flight = 0, next = 0;
    Timer room(loop_.get_executor(), Clock::time_point::max());
    auto const begin = Clock::now();
    auto const cpu_begin = cpu_seconds();
    while (next < waiting.size()) {
      if (in_flight + claims_at_once > in_flight_max) {
        [[maybe_unused]] auto [woken] = co_await room.async_wait(no_throw);
        continue;
      }
      std::vector<std::string> ids;
      for (; next < waiting.size() && ids.size() < claims_at_once; ++next) ids.push_back(std::move(waiting[next].id));
      store::RunCaps const caps{static_cast<std::uint32_t>(in_flight_max), 0, 0, 0};
      auto claimed = must(co_await rows().claim(std::move(ids), std::string(gateway), caps), "claim");
      for (auto& answer : claimed) {
        if (answer.what != store::ClaimAnswer::What::claimed) give_up("claim", "a run was not there to be claimed");
        ++in_flight;
        completions.spawn("complete", complete(book, std::move(answer.claimed->run), in_flight, room));
      }
    }
    [[maybe_unused]] auto joined = co_await completions.join();
    auto const took = seconds_of(Clock::now() - begin);
    if (stats_.completed.read() != flags_.runs) give_up("claims", "not every run was completed");
    say("runs", static_cast<double>(flags_.runs));
    say("seconds", took);
    say("cpu_seconds", cpu_seconds() - cpu_begin);
    say("runs_per_second", static_cast<double>(flags_.runs) / took);
  }

  Task<> due() {
    auto const moment = co_await moment_behind_creation(flags_.automations);
    auto const schedule = once_a_year_at(moment);
    co_await create_automations(flags_.automations, [&](std::size_t, AutomationRow& row) {
      set_schedule(row, schedule);
      row.next_at = moment;
    });
    if (SystemClock::now() + 1s > moment) give_up("due", "they were not there before their moment");
    std::vector<std::chrono::nanoseconds> late;
    auto const made = [&](RunRow const& run) { late.push_back(SystemClock::now() - *run.scheduled_for); };
    co_await plan_until(made, [&] { return late.size() >= flags_.automations || SystemClock::now() > moment + 60s; });
    if (late.size() != flags_.automations) give_up("due", std::to_string(late.size()) + " runs were made");
    say_latencies(late);
  }

  Task<> lateness() {
    co_await create_automations(flags_.schedules, [this](std::size_t number, AutomationRow& row) {
      auto const minute = flags_.period == 60 ? std::string("*") : std::to_string(number / 60 % 60);
      set_schedule(row, minute + " * * * * " + std::to_string(number % 60));
    });
    std::vector<std::chrono::nanoseconds> late;
    auto const settled = SystemClock::now() + 3s;  // plans are read and what was due meanwhile has fired
    auto const made = [&](RunRow const& run) {
      if (*run.scheduled_for > settled) late.push_back(SystemClock::now() - *run.scheduled_for);
    };
    auto const end = settled + std::chrono::seconds(flags_.seconds);
    co_await plan_until(made, [&] { return SystemClock::now() > end; });
    if (late.empty()) give_up("lateness", "nothing fired");
    say_latencies(late);
  }

  Task<> callbacks() {
    store::EndpointRow endpoint;
    endpoint.id = new_id();
    endpoint.tenant = tenant;
    endpoint.url = "http://" + flags_.sink + "/hook";
    endpoint.secrets.emplace_back("whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=");
    must(co_await rows().put_endpoint(std::move(endpoint)), "put_endpoint");
    auto const automations = co_await create_automations(automations_of_runs, [](std::size_t, AutomationRow&) {});
    co_await enqueue(automations, flags_.callbacks);
    co_await end_all();
    automation::Poster poster(loop_.get_executor(), {rows(), settings_, stats_, std::string(gateway)});
    auto const begin = Clock::now();
    auto const cpu_begin = cpu_seconds();
    poster.start();
    while (stats_.callbacks_delivered.read() < flags_.callbacks) {
      if (Clock::now() > begin + 120s || stats_.callback_attempts_failed.read() != 0)
        give_up("callbacks", "not all were taken");
      [[maybe_unused]] auto waited = co_await pause_for(1ms);
    }
    co_await poster.stop(Deadline::in(30s));  // once all of it is written down
    auto const took = seconds_of(Clock::now() - begin);
    if (must(co_await rows().next_delivery_at(), "next_delivery_at")) give_up("callbacks", "one waits still");
    say("callbacks", static_cast<double>(flags_.callbacks));
    say("seconds", took);
    say("cpu_seconds", cpu_seconds() - cpu_begin);
    say("callbacks_per_second", static_cast<double>(flags_.callbacks) / took);
  }

 private:
  using Edit = std::function<void(std::size_t, AutomationRow&)>;

  AutomationStore& rows() { return store_->automations(); }

  Task<> whole(std::function<Task<>(Bench&)> const& what) {
    co_await asio::this_coro::throw_if_cancelled(false);
    json_.begin_object();
    co_await what(*this);
    json_.end_object();
    co_await store_->close();
  }

  void say(std::string_view name, double value) { json_.member(name, value); }
  void say_latencies(std::vector<std::chrono::nanoseconds>& all) {
    std::sort(all.begin(), all.end());
    say("count", static_cast<double>(all.size()));
    say("p50_ms", milliseconds_of(percentile(all, 0.5)));
    say("p99_ms", milliseconds_of(percentile(all, 0.99)));
    say("max_ms", milliseconds_of(all.back()));
  }

  static void set_schedule(AutomationRow& row, std::string schedule) {
    automation::CronTrigger trigger;
    trigger.schedule = std::move(schedule);
    row.trigger_json = to_json(automation::Trigger(trigger));
    row.trigger_kind = "cron";
  }

  Task<> create_one(AutomationRow row) { must(co_await rows().create(std::move(row)), "create"); }

  Task<std::vector<std::string>> create_automations(std::size_t count, Edit edit) {
    std::vector<std::string> ids;
    while (ids.size() < count) {
      TaskGroup group(loop_.get_executor());
      for (std::size_t i = 0; i < created_at_once && ids.size() < count; ++i) {
        AutomationRow row;
        row.id = new_id();
        row.tenant = tenant;
        row.owner = row.organisation = "bench";
        row.name = "bench";
        row.trigger_json = R"({"type":"event","source":"bench","on":[]})";
        row.trigger_kind = "event";
        row.event_source = "bench";
        row.tarball_path = "oh-internal://uploads/4d4f1b4e-6a2f-4c8e-9a3e-0d2f8f0c1a11";
        row.entrypoint = "sh main.sh";
        row.created_at = row.updated_at = SystemClock::now();
        edit(ids.size(), row);
        ids.push_back(row.id);
        group.spawn("create", create_one(std::move(row)));
      }
      [[maybe_unused]] auto joined = co_await group.join();
    }
    co_return ids;
  }

  // When so many will have been created, by what the first few take.
  Task<store::Time> moment_behind_creation(std::size_t count) {
    auto const begin = Clock::now();
    co_await create_automations(created_at_once * 2, [](std::size_t, AutomationRow&) {});
    auto const each = (Clock::now() - begin) / (created_at_once * 2);
    co_return std::chrono::ceil<std::chrono::seconds>(SystemClock::now() + each * static_cast<long>(count) * 2 + 4s);
  }

  Task<> enqueue(std::vector<std::string> const& automations, std::size_t count) {
    for (std::size_t made = 0; made < count;) {
      std::vector<RunRow> runs;
      for (; runs.size() < created_at_once && made < count; ++made) {
        RunRow run;
        run.id = new_id();
        run.automation_id = automations[made % automations.size()];
        run.tenant = tenant;
        run.owner = run.organisation = "bench";
        run.trigger_source = "manual";
        run.target = "conversation:bench";
        run.created_at = SystemClock::now();
        runs.push_back(std::move(run));
      }
      must(co_await rows().enqueue(std::move(runs), 0), "enqueue");
    }
  }

  Task<> complete(RunBook& book, RunRow run, std::size_t& in_flight, Timer& room) {
    automation::Reported event;
    event.report.conversation_id = "0123456789abcdef0123456789abcdef";
    event.report.cost = 0.5;
    auto const applied = must(co_await book.apply(run.id, run.fence, std::move(event)), "complete");
    if (applied.effect != automation::Effect::settled) give_up("complete", "a run did not end");
    --in_flight;
    room.cancel();
  }

  Task<> end_all() {
    auto waiting = must(co_await rows().waiting_since(0, flags_.callbacks), "waiting_since");
    for (std::size_t at = 0; at < waiting.size();) {
      TaskGroup group(loop_.get_executor());
      for (auto const end = std::min(at + created_at_once, waiting.size()); at < end; ++at)
        group.spawn("end", end_one(std::move(waiting[at].id)));
      [[maybe_unused]] auto joined = co_await group.join();
    }
  }

  Task<> end_one(std::string id) {
    auto judge = [now = SystemClock::now()](RunRow const& row) {
      store::RunDecision decision;
      decision.writes = decision.tells = true;
      decision.run = row.clone();
      decision.run.status = store::RunStatus::completed;
      decision.run.completed_at = now;
      decision.payload = automation::completion_event(decision.run);
      return decision;
    };
    must(co_await rows().judge(std::move(id), std::nullopt, std::move(judge)), "judge");
  }

  // `made` is told of each run once it is durable.
  Task<> plan_until(std::function<void(RunRow const&)> made, std::function<bool()> is_over) {
    automation::Planner planner(loop_.get_executor(), {rows(), settings_, stats_},
                                {std::move(made), [](std::string const&) {}});
    planner.start();
    while (!is_over()) [[maybe_unused]]
      auto waited = co_await pause_for(20ms);
    co_await planner.stop();
  }

  Flags flags_;
  asio::io_context loop_{1};
  Settings settings_;
  Stats stats_;
  std::unique_ptr<store::Store> store_;
  std::string out_;
  codec::JsonWriter json_{out_};
};

}  // namespace

int main(int argc, char** argv) {
  std::map<std::string_view, Task<> (Bench::*)()> const parts{
      {"claims", &Bench::claims}, {"due", &Bench::due}, {"lateness", &Bench::lateness}, {"callbacks", &Bench::callbacks}};
  auto const part = parts.find(argc > 1 ? argv[1] : "");
  if (part == parts.end()) bench::usage("automation: one of claims, due, lateness, callbacks is wanted");
  Flags flags;
  std::map<std::string_view, std::uint64_t*> const numbers{
      {"--runs", &flags.runs},       {"--automations", &flags.automations}, {"--schedules", &flags.schedules},
      {"--seconds", &flags.seconds}, {"--period", &flags.period},           {"--callbacks", &flags.callbacks}};
  for (int i = 2; i < argc; i += 2) {
    std::string_view const flag = argv[i];
    if (i + 1 == argc) bench::usage(std::string(flag) + ": a value is wanted");
    std::string_view const value = argv[i + 1];
    if (flag == "--store")
      flags.store = value;
    else if (flag == "--sink")
      flags.sink = value;
    else if (numbers.contains(flag))
      *numbers.at(flag) = bench::to_number(value, flag);
    else
      bench::usage("automation: unknown flag " + std::string(flag));
  }
  if (flags.store.empty()) bench::usage("automation: --store is wanted");
  bench::raise_open_files();
  Bench(std::move(flags)).run([what = part->second](Bench& bench) { return (bench.*what)(); });
}
