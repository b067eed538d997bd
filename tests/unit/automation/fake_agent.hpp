#pragma once

#include <simdjson.h>

#include <algorithm>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "support/control.hpp"

namespace nestgate::test {

// An agent server as far as runs need one: it keeps what is uploaded, and "runs" commands until a test ends them. Guards
// are kept as a shell would: only the first start of an attempt gets through. It answers many at once.
class FakeAgent {
 public:
  struct Command {
    std::string id, text, guard;
    bool was_turned_away = false;
    std::optional<int> exit_code;
    std::string output, error;
  };
  // Its answer takes the place of the server's own, which then does nothing.
  using Instead = std::function<std::optional<Reply>(Request const&)>;
  // Called when what was asked is done, before that is answered.
  using Before = std::function<void(Request const&)>;

  FakeAgent() : server_([this](Connection& connection) { serve(connection); }) {}
  ~FakeAgent() { server_.stop(); }

  asio::ip::tcp::endpoint endpoint() const { return {asio::ip::address_v4::loopback(), server_.port()}; }
  std::uint16_t port() const { return server_.port(); }
  void instead(Instead instead) {
    std::lock_guard const lock(mutex_);
    instead_ = std::move(instead);
  }
  void before_answer(Before before) {
    std::lock_guard const lock(mutex_);
    before_ = std::move(before);
  }
  // What every executed command that stops nothing is answered with.
  void answer_commands(int exit_code, std::string error) {
    std::lock_guard const lock(mutex_);
    executed_exit_code_ = exit_code;
    executed_error_ = std::move(error);
  }
  static constexpr std::string_view private_folder = "/tmp/nestgate-private-1000";
  // What the command that makes it is answered with, so many times, before it succeeds; it is not among those `executed`.
  void answer_private_folder(int exit_code, int times) {
    std::lock_guard const lock(mutex_);
    folder_exit_code_ = exit_code;
    folder_failures_ = times;
  }
  // So many stops say that something is left.
  void fail_stops(int count) {
    std::lock_guard const lock(mutex_);
    failing_stops_ = count;
  }

  // Those to the interfaces that runs use, in their order.
  std::vector<Request> requests() const {
    std::lock_guard const lock(mutex_);
    return requests_;
  }
  std::size_t count(std::string_view line_begin) const {
    std::lock_guard const lock(mutex_);
    return static_cast<std::size_t>(std::count_if(
        requests_.begin(), requests_.end(), [&](Request const& request) { return request.line().starts_with(line_begin); }));
  }
  std::optional<std::string> upload(std::string const& path) const {
    std::lock_guard const lock(mutex_);
    auto const found = uploads_.find(path);
    if (found == uploads_.end()) return std::nullopt;
    return found->second;
  }
  std::vector<std::string> executed() const {
    std::lock_guard const lock(mutex_);
    return executed_;
  }
  std::vector<Command> commands() const {
    std::lock_guard const lock(mutex_);
    return commands_;
  }
  // How often a script of that run began.
  std::size_t starts(std::string_view run_id) const {
    std::lock_guard const lock(mutex_);
    return static_cast<std::size_t>(std::count_if(commands_.begin(), commands_.end(), [&](Command const& command) {
      return !command.was_turned_away && command.guard.find(run_id) != std::string::npos;
    }));
  }
  // The script of that run ends; of its newest attempt.
  void end(std::string_view run_id, int exit_code, std::string output = "", std::string error = "") {
    std::lock_guard const lock(mutex_);
    for (auto command = commands_.rbegin(); command != commands_.rend(); ++command) {
      if (command->was_turned_away || command->guard.find(run_id) == std::string::npos) continue;
      command->exit_code = exit_code;
      command->output = std::move(output);
      command->error = std::move(error);
      return;
    }
    ADD_FAILURE() << "no script of " << run_id << " was started";
  }

 private:
  static std::string json_text(std::string_view body, std::string_view name) {
    simdjson::dom::parser parser;
    std::string_view text;
    if (parser.parse(body.data(), body.size())[name].get_string().get(text)) return {};
    return std::string(text);
  }
  static std::string quoted(std::string_view text) {
    std::string out = "\"";
    for (char const c : text) {
      if (c == '"' || c == '\\') out += '\\';
      if (c == '\n') {
        out += "\\n";
      } else {
        out += c;
      }
    }
    return out + "\"";
  }
  static std::string decoded(std::string_view text) {
    std::string out;
    for (std::size_t at = 0; at < text.size(); ++at) {
      if (text[at] == '%') {
        out += static_cast<char>(std::stoi(std::string(text.substr(at + 1, 2)), nullptr, 16));
        at += 2;
      } else {
        out += text[at];
      }
    }
    return out;
  }
  static std::string parameter(std::string_view target, std::string_view name) {
    auto const mark = std::string(name) + "=";
    auto const at = target.find(mark);
    if (at == target.npos) return {};
    auto const value = target.substr(at + mark.size());
    return decoded(value.substr(0, value.find('&')));
  }
  // The word behind `mark` and what follows it up to a blank.
  static std::string guard_in(std::string_view command, std::string_view mark) {
    auto const at = command.find(mark);
    if (at == command.npos) return {};
    auto const word = command.find(' ', at + mark.size());
    auto const end = command.find(' ', word + 1);
    return std::string(command.substr(word + 1, end - word - 1));
  }

  void serve(Connection& connection) {
    auto const read = read_request(connection);
    if (!read) return;
    auto const& request = *read;
    Instead instead;
    Before before;
    {
      std::lock_guard const lock(mutex_);
      bool const is_of_runs = request.target.starts_with("/api/file/") || request.target.starts_with("/api/bash/");
      if (is_of_runs) requests_.push_back(request);
      instead = instead_;
      before = before_;
    }
    auto reply = instead ? instead(request) : std::nullopt;
    if (!reply) {
      reply = answer(request);
      if (before) before(request);
    }
    if (reply->status == 0) return connection.reset();
    connection.send("HTTP/1.1 " + std::to_string(reply->status) +
                    " x\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: " +
                    std::to_string(reply->body.size()) + "\r\n\r\n" + reply->body);
  }

  Reply answer(Request const& request) {
    std::lock_guard const lock(mutex_);
    if (request.target.starts_with("/api/file/upload")) {
      auto const begin = request.body.find("\r\n\r\n") + 4;
      uploads_[parameter(request.target, "path")] = request.body.substr(begin, request.body.rfind("\r\n--") - begin);
    }
    if (request.target == "/api/bash/start_bash_command") return start(json_text(request.body, "command"));
    if (request.target == "/api/bash/execute_bash_command") return execute(json_text(request.body, "command"));
    if (request.target.starts_with("/api/bash/bash_events/search")) return search(request.target);
    if (request.target.starts_with("/sockets/")) return {404, ""};
    return {};
  }
  Reply start(std::string text) {
    Command command;
    command.id = "cmd" + std::to_string(commands_.size() + 1);
    command.guard = guard_in(text, "ln -s nestgate:");
    command.text = std::move(text);
    if (!guards_.insert(command.guard).second) {
      command.was_turned_away = true;
      command.exit_code = 75;
      command.error = "this run was started before\n";
    }
    commands_.push_back(command);
    return {200, R"({"kind":"BashCommand","id":")" + command.id + "\"}"};
  }
  Reply execute(std::string text) {
    auto const guard = guard_in(text, "ln -sn nestgate:stopped:");
    if (text.starts_with("f=/tmp/nestgate-private-")) {
      auto const exit_code = folder_failures_ > 0 ? folder_exit_code_ : 0;
      --folder_failures_;
      return {200, R"({"exit_code":)" + std::to_string(exit_code) + R"(,"stdout":")" + std::string(private_folder) +
                       R"(\n","stderr":""})"};
    }
    executed_.push_back(std::move(text));
    if (guard.empty())
      return {200, R"({"exit_code":)" + std::to_string(executed_exit_code_) + R"(,"stdout":"","stderr":)" +
                       quoted(executed_error_) + "}"};
    if (failing_stops_ > 0) {
      --failing_stops_;
      return {200, R"({"exit_code":1,"stdout":"","stderr":""})"};
    }
    guards_.insert(guard);
    for (auto& command : commands_) {
      if (command.guard == guard && !command.exit_code) command.exit_code = -1;
    }
    return {200, R"({"exit_code":0,"stdout":"","stderr":""})"};
  }
  Reply search(std::string_view target) const {
    std::string items;
    auto const add = [&items](std::string const& item) { items += (items.empty() ? "" : ",") + item; };
    if (target.find("kind__eq=BashCommand") != target.npos) {
      for (auto command = commands_.rbegin(); command != commands_.rend(); ++command)
        add(R"({"kind":"BashCommand","id":")" + command->id + R"(","command":)" + quoted(command->text) + "}");
    } else {
      auto const id = parameter(target, "command_id__eq");
      for (auto const& command : commands_) {
        if (command.id != id || !command.exit_code) continue;
        add(R"({"kind":"BashOutput","command_id":")" + id + R"(","order":0,"exit_code":)" +
            std::to_string(*command.exit_code) + R"(,"stdout":)" + quoted(command.output) + R"(,"stderr":)" +
            quoted(command.error) + "}");
      }
    }
    return {200, R"({"items":[)" + items + R"(],"next_page_id":null})"};
  }

  mutable std::mutex mutex_;  // guards what is below
  Instead instead_;
  Before before_;
  int executed_exit_code_ = 0, folder_exit_code_ = 0, folder_failures_ = 0, failing_stops_ = 0;
  std::string executed_error_;
  std::vector<Request> requests_;
  std::map<std::string, std::string> uploads_;
  std::vector<std::string> executed_;
  std::vector<Command> commands_;
  std::set<std::string> guards_;
  Server server_;
};

}  // namespace nestgate::test
