#pragma once

#include <gtest/gtest.h>
#include <simdjson.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "nestgate/api/control_api.hpp"
#include "support/control.hpp"
#include "support/fake_runtimes.hpp"

namespace nestgate::test {

inline identity::Principal const alice{"alice", identity::Role::user, "alice"};
inline identity::Principal const bob{"bob", identity::Role::user, "bob"};
inline identity::Principal const ops{"ops", identity::Role::admin, ""};
inline identity::Principal const robot{"robot", identity::Role::automation, "alice"};

struct Asked {
  std::optional<identity::Principal> by = alice;
  std::string session_key = {};
  std::string body = {};
};

struct Answered {
  unsigned status = 0;
  std::string body;
  std::string content_type;
  std::vector<std::pair<std::string, std::string>> headers;
  std::shared_ptr<proxy::ApiStream> stream;
  // A member by JSON pointer: text as it is, anything else as JSON.
  std::string at(std::string_view pointer) const {
    simdjson::dom::parser parser;
    simdjson::dom::element found;
    if (parser.parse(body).at_pointer(pointer).get(found)) return "(none)";
    std::string_view text;
    if (!found.get_string().get(text)) return std::string(text);
    return simdjson::minify(found);
  }
};

// All own routes over a manager whose runtimes are one scripted server, unless a test makes its own provider, and a store in
// memory.
class WholeApi : public testing::Test {
 public:
  proxy::ApiRequest request_for(http::Method method, std::string path, Asked what) const {
    proxy::ApiRequest request;
    auto const question = path.find('?');
    request.path = path.substr(0, question);
    if (question != path.npos) request.query = path.substr(question + 1);
    request.method = method;
    request.body = what.body;
    request.content_type = "application/json";
    request.principal = std::move(what.by);
    request.session_key = Secret(std::move(what.session_key));
    request.origin = "http://gateway:8080";
    request.request_id = "req-1";
    return request;
  }

 protected:
  using MakeProvider = std::function<std::unique_ptr<runtime::RuntimeProvider>(Executor)>;

  WholeApi(api::Settings settings, conversation::ManagerSettings manager_settings, automation::Settings run_settings = {},
           MakeProvider const& make_provider = {}) {
    auto opened = store::open_store("sqlite::memory:", secrets(), control.executor());
    if (!opened) throw std::runtime_error(opened.error().reason);
    store = std::move(*opened);
    credentials = conversation::make_credentials({});
    std::unique_ptr<runtime::RuntimeProvider> provider_owned;
    if (make_provider) {
      provider_owned = make_provider(control.executor());
    } else {
      auto fake = std::make_unique<FakeProvider>(nested.endpoint());
      provider = fake.get();
      provider_owned = std::move(fake);
    }
    auto ring = std::make_shared<identity::KeyRing const>(identity::Derivation::sha256, secrets());
    manager = std::make_unique<conversation::Manager>(control.executor(), std::move(provider_owned), publisher, ring, *store,
                                                      *credentials, manager_settings);
    auto recovered = control.run(manager->recover());
    if (!recovered) throw std::runtime_error(recovered.error().reason);
    runs = std::make_unique<automation::Service>(control.executor(), *manager, *store, manager->gateway(), std::move(ring),
                                                 std::move(run_settings));
    auto const audit = [this](api::SecretAccess const& access) {
      audited.push_back(std::string(access.route) + " " + std::string(access.sandbox) + " " + std::string(access.owner) +
                        " " + std::string(access.name) + " " + std::to_string(access.status));
    };
    api::Surroundings with{*manager, publisher, *runs, *store, std::move(settings), audit};
    api = api::make_control_api(with);
  }
  ~WholeApi() override {
    api.reset();
    control.run(runs->stop(Deadline::in(std::chrono::seconds(0))));
    control.run(manager->stop_all());
    control.run(store->close());
  }

  Answered ask(proxy::ApiRequest request) {
    auto response = control.run(api->handle(std::move(request)));
    return {response.status, std::move(response.body), std::move(response.content_type), std::move(response.headers),
            std::move(response.stream)};
  }
  Answered ask(http::Method method, std::string path, Asked what) {
    return ask(request_for(method, std::move(path), std::move(what)));
  }
  Answered ask(http::Method method, std::string path, std::optional<identity::Principal> by = alice, std::string body = {}) {
    return ask(method, std::move(path), Asked{std::move(by), {}, std::move(body)});
  }
  Answered ask_by_key(http::Method method, std::string path, std::string session_key) {
    return ask(method, std::move(path), Asked{std::nullopt, std::move(session_key), {}});
  }
  void wait_for(std::string const& id, conversation::RuntimeState state) {
    control.run_until([&] {
      auto const view = manager->find(*ConversationId::parse(id));
      return view && view->state == state;
    });
  }

  static std::vector<Secret> secrets() {
    std::vector<Secret> out;
    out.emplace_back("0123456789abcdef0123456789abcdef");
    return out;
  }

 public:
  ScriptedServer nested;
  Control control;
  RecordingPublisher publisher;
  FakeProvider* provider = nullptr;  // nullptr: the test has a real one
  std::unique_ptr<store::Store> store;
  std::unique_ptr<conversation::Credentials> credentials;
  std::unique_ptr<conversation::Manager> manager;
  std::unique_ptr<automation::Service> runs;
  std::vector<std::string> audited;
  std::unique_ptr<proxy::OwnRoutes> api;
};

}  // namespace nestgate::test
