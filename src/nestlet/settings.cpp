#include "nestlet/settings.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

namespace nestgate::nestlet {
namespace {

struct NumberFlag {
  std::string_view name;
  std::uint64_t Limits::* field;
  std::uint64_t min;
  std::uint64_t max;
  std::string_view what;
};

constexpr std::uint64_t day_seconds = 24 * 60 * 60;
constexpr std::uint64_t many_bytes = 1ull << 40;
constexpr std::array number_flags = {
    NumberFlag{"--output-chars-max", &Limits::output_chars_max, 1, 1u << 30, "a stream's text in one bash event"},
    NumberFlag{"--output-flush-milliseconds", &Limits::output_flush_milliseconds, 0, day_seconds * 1000,
               "until a started command's text is told; 0: once it is full, and at the end"},
    NumberFlag{"--command-timeout-seconds", &Limits::command_timeout_seconds, 1, day_seconds, "for commands that name none"},
    NumberFlag{"--commands-max", &Limits::commands_max, 1, 100'000, "running at once"},
    NumberFlag{"--bash-events-max", &Limits::bash_events_max, 1, 10'000'000, "kept; the oldest go first"},
    NumberFlag{"--bash-event-bytes-max", &Limits::bash_event_bytes_max, 1, many_bytes, "kept; the oldest go first"},
    NumberFlag{"--conversations-max", &Limits::conversations_max, 1, 1'000'000, "then 429"},
    NumberFlag{"--conversation-events-max", &Limits::conversation_events_max, 1, 10'000'000, "kept for each conversation"},
    NumberFlag{"--conversation-event-bytes-max", &Limits::conversation_event_bytes_max, 1, many_bytes,
               "kept for each conversation"},
    NumberFlag{"--json-body-bytes-max", &Limits::json_body_bytes_max, 1, 1u << 30, "then 413"},
    NumberFlag{"--head-bytes-max", &Limits::head_bytes_max, 1024, 16 * 1024 * 1024, "then 431, as for one field of 64 KiB"},
    NumberFlag{"--event-subscribers-max", &Limits::event_subscribers_max, 1, 100'000, "of one conversation, then 1013"},
    NumberFlag{"--bash-subscribers-max", &Limits::bash_subscribers_max, 1, 100'000, "of the bash events, then 1013"},
    NumberFlag{"--subscriber-queue-bytes-max", &Limits::subscriber_queue_bytes_max, 1, many_bytes,
               "unread by one subscriber, then 1013"},
    NumberFlag{"--frame-bytes-max", &Limits::frame_bytes_max, 1, 1u << 30, "a websocket message, then 1009"},
    NumberFlag{"--unpacked-bytes-max", &Limits::unpacked_bytes_max, 1, many_bytes, "of one uploaded archive"},
    NumberFlag{"--keep-alive-seconds", &Limits::keep_alive_seconds, 1, day_seconds, "between two requests"},
    NumberFlag{"--progress-seconds", &Limits::progress_seconds, 1, day_seconds, "without a byte moved in a body"},
    NumberFlag{"--stop-grace-seconds", &Limits::stop_grace_seconds, 0, day_seconds, "for what runs at SIGTERM"},
    NumberFlag{"--close-seconds", &Limits::close_seconds, 1, day_seconds, "for a websocket's peer to take the close"},
    NumberFlag{"--run-milliseconds", &Limits::run_milliseconds, 0, day_seconds * 1000, "how long a run stays `running`"},
};

struct TextFlag {
  std::string_view name;
  std::string Settings::* field;
  std::string_view what;
};
constexpr std::array text_flags = {
    TextFlag{"--workspace", &Settings::workspace, "DIR    where commands run; default: the current directory"},
    TextFlag{"--ready-file", &Settings::ready_file,
             "PATH   written when it listens: {\"pid\":1,\"listen\":[\"127.0.0.1:1234\"]}"},
    TextFlag{"--session-key-file", &Settings::session_key_file, "PATH   session keys, one a line; read once, then removed"},
};

std::optional<std::uint64_t> parse_number(std::string_view text) {
  std::uint64_t number = 0;
  auto const [end, fault] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (fault != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

bool is_known(std::string_view flag) {
  auto const named = [flag](auto const& known) { return known.name == flag; };
  return flag == "--listen" || std::any_of(text_flags.begin(), text_flags.end(), named) ||
         std::any_of(number_flags.begin(), number_flags.end(), named);
}

// Nothing when `flag`, a known one, took the value; otherwise what is wrong with it.
std::optional<std::string> apply(Settings& settings, std::string_view flag, std::string_view value) {
  if (value.empty()) return std::string(flag) + ": is empty";
  if (flag == "--listen") {
    settings.listen.emplace_back(value);
    return std::nullopt;
  }
  for (auto const& text : text_flags) {
    if (flag != text.name) continue;
    settings.*text.field = value;
    return std::nullopt;
  }
  for (auto const& number : number_flags) {
    if (flag != number.name) continue;
    auto const parsed = parse_number(value);
    if (!parsed || *parsed < number.min || *parsed > number.max) {
      return std::string(flag) + ": \"" + std::string(value) + "\" is not a whole number from " +
             std::to_string(number.min) + " to " + std::to_string(number.max);
    }
    settings.limits.*number.field = *parsed;
    return std::nullopt;
  }
  return std::nullopt;
}

}  // namespace

std::variant<Settings, Notice, UsageFaults> parse_command_line(std::vector<std::string_view> const& arguments) {
  Settings settings;
  UsageFaults faults;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    std::string_view flag = arguments[i];
    if (flag == "--help" || flag == "-h") return Notice::help;
    if (flag == "--version") return Notice::version;
    if (!flag.starts_with("--")) {
      faults.lines.push_back("unexpected argument \"" + std::string(flag) + "\" (see --help)");
      continue;
    }
    auto const equals = flag.find('=');
    std::optional<std::string_view> value;
    if (equals != flag.npos) value = flag.substr(equals + 1);
    flag = flag.substr(0, equals);
    bool const known = is_known(flag);
    if (!known) faults.lines.push_back("unknown flag " + std::string(flag) + " (see --help)");
    bool const next_is_value = i + 1 < arguments.size() && (known || !arguments[i + 1].starts_with("--"));
    if (!value && next_is_value) value = arguments[++i];
    if (!known) continue;
    if (!value) {
      faults.lines.push_back(std::string(flag) + ": needs a value");
      break;
    }
    if (auto fault = apply(settings, flag, *value)) faults.lines.push_back(std::move(*fault));
  }
  if (settings.listen.empty() && faults.lines.empty()) {
    faults.lines.emplace_back("--listen: missing; an address such as 127.0.0.1:8000, [::1]:0 or unix:/path");
  }
  if (!faults.lines.empty()) return faults;
  return settings;
}

std::string usage() {
  std::string out =
      "nestlet --listen ADDRESS [flags]\n"
      "A small agent server: commands, files, conversations as event logs.\n\n"
      "  --listen ADDRESS  127.0.0.1:8000, [::1]:0 or unix:/path; port 0: any free port; may be repeated\n";
  for (auto const& flag : text_flags) out += "  " + std::string(flag.name) + " " + std::string(flag.what) + "\n";
  out += "  --help, --version\n\nLimits:\n";
  for (auto const& flag : number_flags) {
    out += "  " + std::string(flag.name) + " N  " + std::string(flag.what) + "; default " +
           std::to_string(Limits{}.*flag.field) + "\n";
  }
  out +=
      "\nSession keys come from --session-key-file or NESTLET_SESSION_KEY_FILE, else OH_SESSION_API_KEYS_0, _1, ... and\n"
      "a JSON list in OH_SESSION_API_KEYS, else SESSION_API_KEY. Without any key every request is let in.\n"
      "OH_DEFERRED_INIT=true: dormant until POST /api/init, which takes OH_SECRET_KEY or the first session key.\n"
      "OH_WEBHOOKS_0_BASE_URL: an http URL that events are posted to.\n";
  return out;
}

}  // namespace nestgate::nestlet
