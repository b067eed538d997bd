#include "cloud_shapes.hpp"

#include "nestgate/api/list_query.hpp"
#include "nestgate/base/text.hpp"
#include "nestgate/codec/json_writer.hpp"
#include "urls.hpp"

namespace nestgate::api {
namespace {

using codec::JsonWriter;
using conversation::RuntimeState;
using conversation::View;

void write_url(JsonWriter& w, std::string_view name, std::string_view url, std::uint16_t port) {
  w.begin_object().member("name", name).member("url", url).member("port", port).end_object();
}

void write_urls(JsonWriter& w, View const& view, std::string_view origin, std::string_view domain) {
  w.key("exposed_urls");
  if (view.state != RuntimeState::running) {
    w.null();
    return;
  }
  w.begin_array();
  write_url(w, "AGENT_SERVER", agent_server_url(view.id, origin, domain), view.endpoint.port());
  for (auto const& port : view.ports)
    write_url(w, exposed_name(port.name), port_url(view.id, port.number, origin, domain), port.number);
  w.end_array();
}

void write_sandbox(JsonWriter& w, View const& view, std::string_view origin, std::string_view domain) {
  bool const is_running = view.state == RuntimeState::running;
  bool const has_failed = view.state == RuntimeState::error;
  w.begin_object().member("id", view.id.text());
  w.text_or_null("created_by_user_id", view.owner);
  w.member("sandbox_spec_id", view.spec_id.empty() ? std::string_view("default") : std::string_view(view.spec_id));
  w.member("status", sandbox_status(view.state));
  // tidy-ok(reveal): the caller may use the sandbox, which is checked before
  w.text_or_null("session_api_key", is_running ? view.client_key.reveal() : std::string_view());
  write_urls(w, view, origin, domain);
  w.member("created_at", rfc3339(view.created_at, 6));
  w.text_or_null("error_code", has_failed ? "RUNTIME_FAILED" : "");
  w.text_or_null("error_message", has_failed ? std::string_view(view.reason) : std::string_view());
  w.end_object();
}

void write_spec(JsonWriter& w, SandboxSpec const& spec, SpecTime created_at) {
  w.begin_object().member("id", spec.id).key("command");
  if (spec.command.empty()) {
    w.null();
  } else {
    w.begin_array();
    for (auto const& word : spec.command) w.value(word);
    w.end_array();
  }
  w.member("created_at", rfc3339(created_at, 6)).key("initial_env").begin_object().end_object();
  w.member("working_dir", spec.working_dir).end_object();
}

void write_secret_name(JsonWriter& w, SecretName const& secret) {
  w.begin_object().member("name", secret.name);
  w.text_or_null("description", secret.description);
  w.end_object();
}

}  // namespace

std::string_view sandbox_status(RuntimeState state) noexcept {
  switch (state) {
    case RuntimeState::starting: return "STARTING";
    case RuntimeState::running: return "RUNNING";
    case RuntimeState::paused:
    case RuntimeState::stopping:
    case RuntimeState::stopped: return "PAUSED";
    case RuntimeState::error: return "ERROR";
  }
  return "";
}

std::string exposed_name(std::string_view port_name) {
  std::string out(port_name);
  for (char& c : out) {
    bool const is_lower = c >= 'a' && c <= 'z';
    bool const is_kept = (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (is_lower) {
      c = static_cast<char>(c - 'a' + 'A');
    } else if (!is_kept) {
      c = '_';
    }
  }
  return out;
}

std::string sandbox_json(View const& view, std::string_view origin, std::string_view domain) {
  std::string out;
  JsonWriter w(out);
  write_sandbox(w, view, origin, domain);
  return out;
}

std::string sandboxes_json(std::vector<std::optional<View>> const& views, std::string_view origin, std::string_view domain) {
  std::string out;
  JsonWriter w(out);
  w.begin_array();
  for (auto const& view : views) {
    if (view) {
      write_sandbox(w, *view, origin, domain);
    } else {
      w.null();
    }
  }
  w.end_array();
  return out;
}

std::string sandbox_page_json(conversation::Page const& page, std::string_view origin, std::string_view domain) {
  std::string out;
  JsonWriter w(out);
  w.begin_object().key("items").begin_array();
  for (auto const& view : page.views) write_sandbox(w, view, origin, domain);
  w.end_array();
  w.text_or_null("next_page_id", page.has_more ? page_id_of(page.views.back()) : std::string());
  w.end_object();
  return out;
}

std::string specs_page_json(std::vector<SandboxSpec> const& specs, SpecTime created_at) {
  std::string out;
  JsonWriter w(out);
  w.begin_object().key("items").begin_array();
  for (auto const& spec : specs) write_spec(w, spec, created_at);
  w.end_array().key("next_page_id").null().end_object();
  return out;
}

std::string specs_json(std::vector<SandboxSpec const*> const& specs, SpecTime created_at) {
  std::string out;
  JsonWriter w(out);
  w.begin_array();
  for (auto const* spec : specs) {
    if (spec) {
      write_spec(w, *spec, created_at);
    } else {
      w.null();
    }
  }
  w.end_array();
  return out;
}

std::string secret_name_json(SecretName const& name) {
  std::string out;
  JsonWriter w(out);
  write_secret_name(w, name);
  return out;
}

std::string secret_names_json(std::vector<SecretName> const& names) {
  std::string out;
  JsonWriter w(out);
  w.begin_object().key("secrets").begin_array();
  for (auto const& name : names) write_secret_name(w, name);
  w.end_array().end_object();
  return out;
}

}  // namespace nestgate::api
