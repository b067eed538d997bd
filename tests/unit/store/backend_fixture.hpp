#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <string>
#include <vector>

#include "databases.hpp"
#include "store/open_backend.hpp"
#include "support/control.hpp"

namespace nestgate::store {

// Calls that are made together, in their order, on a loop that stands for the control core.
class Calls {
 public:
  explicit Calls(test::Control& control) : control_(control) {}

  // The call is made, not awaited.
  void begin(Task<Outcome<>> call) {
    auto& slot = outcomes_.emplace_back();
    asio::co_spawn(control_.executor(), into(std::move(call), slot), [](std::exception_ptr bug) {
      if (bug) std::rethrow_exception(bug);
    });
    control_.loop().restart();
    control_.loop().poll();
  }
  // "" of each that went well, else its reason.
  std::vector<std::string> finish() {
    auto const has_ended = [](auto const& outcome) { return outcome.has_value(); };
    control_.run_until([&] { return std::ranges::all_of(outcomes_, has_ended); });
    std::vector<std::string> reasons;
    for (auto const& outcome : outcomes_) reasons.push_back(*outcome ? std::string() : outcome->error().reason);
    outcomes_.clear();
    return reasons;
  }

 private:
  static Task<> into(Task<Outcome<>> call, std::optional<Outcome<>>& slot) { slot.emplace(co_await std::move(call)); }

  test::Control& control_;
  std::deque<std::optional<Outcome<>>> outcomes_;
};

// What transactions of a test write: counters with a name of theirs.
inline Task<> put_name(Sql& sql, std::string name) {
  co_await sql.query("INSERT INTO counter (name, value) VALUES (?1, 1)", "test " + name);
}
inline Task<std::vector<std::string>> names(Sql& sql) {
  std::vector<std::string> found;
  auto rows = co_await sql.query("SELECT substr(name, 6) FROM counter WHERE name LIKE 'test %' ORDER BY name");
  while (rows.step()) found.push_back(rows.text());
  co_return found;
}

// A database with nothing above it.
class OpenBackend {
 public:
  explicit OpenBackend(std::string const& url)
      : backend_(open_backend(url, [](Sql&) -> Task<> { co_return; }, control_.executor()).value()) {}
  ~OpenBackend() { control_.run(backend_->close()); }
  OpenBackend(OpenBackend const&) = delete;
  OpenBackend& operator=(OpenBackend const&) = delete;

  Backend& operator*() { return *backend_; }
  test::Control& control() { return control_; }
  Task<Outcome<>> put(std::string name) {
    return backend_->write([name = std::move(name)](Sql& sql) { return put_name(sql, name); });
  }
  // Those that are there.
  std::vector<std::string> found() { return control_.run(backend_->read(names)).value(); }

 private:
  test::Control control_;
  std::unique_ptr<Backend> backend_;
};

}  // namespace nestgate::store
