#include "api/document_api.hpp"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "api/families.hpp"
#include "nestgate/identity/digest.hpp"
#include "proxy/answers.hpp"
#include "proxy/decide.hpp"
#include "support/json_schema.hpp"
#include "unit/api/api_fixture.hpp"

namespace nestgate::api {
namespace {

using http::Method;
using namespace test;
using Element = simdjson::dom::element;

// One call of a documented operation. Braces in its path take `names` in their order.
struct Example {
  std::string operation;
  unsigned status;
  std::vector<std::string> names = {};
  std::string query = {};
  Asked what = {};
  std::string content_type = "application/json";
  std::vector<std::pair<std::string, std::string>> fields = {};
};

constexpr std::string_view nobody = "00000000-0000-4000-8000-000000000000";

struct Operation {
  Method method;
  std::string path;
  Element described;
};

Method method_of(std::string_view text) {
  static std::map<std::string_view, Method> const all{{"get", Method::get},
                                                      {"post", Method::post},
                                                      {"put", Method::put},
                                                      {"patch", Method::patch},
                                                      {"delete", Method::delete_}};
  return all.at(text);
}

class Document : public Api {
 protected:
  Document() : root_(parser_.parse(openapi_document()).value()), schemas_(root_) {
    for (auto const [path, methods] : simdjson::dom::object(root_["paths"])) {
      for (auto const [method, described] : simdjson::dom::object(methods)) {
        std::string const id{std::string_view(described["operationId"])};
        bool const is_new = operations_.emplace(id, Operation{method_of(method), std::string(path), described}).second;
        EXPECT_TRUE(is_new) << id;
      }
    }
  }

  static Asked as(identity::Principal by, std::string body = {}) { return {std::move(by), {}, std::move(body)}; }
  static Asked with_key(std::string key, std::string body = {}) { return {std::nullopt, std::move(key), std::move(body)}; }

  void call(Example example) {
    auto const& operation = operations_.at(example.operation);
    std::string path = operation.path;
    for (auto const& name : example.names) path.replace(path.find('{'), path.find('}') - path.find('{') + 1, name);
    auto request = request_for(operation.method, path + example.query, std::move(example.what));
    request.content_type = std::move(example.content_type);
    request.fields = std::move(example.fields);
    auto const answered = ask(std::move(request));
    std::string const what = example.operation + " " + std::to_string(example.status) + " " + path + example.query;
    EXPECT_EQ(answered.status, example.status) << what << ": " << answered.body;
    EXPECT_EQ(why_undocumented(operation, answered), "") << what << ": " << answered.body;
    for (auto const& [name, value] : answered.headers) EXPECT_NE(name, "Cache-Control") << what << ": the proxy has it";
    bool const is_not_done_here = answered.status == 501;
    if (answered.status < 300 || is_not_done_here) called_.insert(example.operation);
  }

  // As the proxy answers by itself, before a route is asked; nothing where it asks.
  std::optional<Answered> ask_proxy(Operation const& operation, std::string const& fields) const {
    struct NoSids final : proxy::SidTable {
      conversation::EntryPtr find_sid(std::string_view) const override { return nullptr; }
    };
    proxy::Config config;
    std::vector<identity::ApiKeyEntry> keys;
    keys.push_back({alice, identity::hash_api_key("alice-key")});
    config.api_keys = std::make_shared<identity::ApiKeys const>(std::move(keys));
    auto const text = std::string(method_name(operation.method)) + " " + with_x1(operation.path) +
                      " HTTP/1.1\r\nHost: g\r\n" + fields + "\r\n";
    http::RequestHead head;
    std::size_t scanned = 0;
    auto const parsed = http::parse_request_head(text, {4096, 16}, head, scanned);
    EXPECT_EQ(parsed.state, http::HeadParse::State::complete);
    auto const decision = proxy::decide(head, config, conversation::Directory(), NoSids(), *api);
    if (decision.kind != proxy::Decision::Kind::refuse) return std::nullopt;
    return answered_by_proxy(decision.status, decision.code, decision.message);
  }
  static Answered answered_by_proxy(unsigned status, std::string_view code, std::string_view message) {
    return {status, proxy::error_body(status, code, message, "req-1"), "application/json", {}, nullptr};
  }
  static std::string with_x1(std::string path) {
    while (path.find('{') != path.npos) path.replace(path.find('{'), path.find('}') - path.find('{') + 1, "x1");
    return path;
  }

  std::string why_undocumented(Operation const& operation, Answered const& answered) const {
    Element responses = operation.described["responses"], response, content, schema;
    bool const is_documented =
        !responses[std::to_string(answered.status)].get(response) || !responses["default"].get(response);
    if (!is_documented) return "the status is not documented";
    if (schemas_.resolve(response)["content"].get(content))
      return answered.body.empty() ? "" : "there is a body, and none is documented";
    auto const type = answered.content_type.substr(0, answered.content_type.find(';'));
    if (content[type]["schema"].get(schema)) return "the content type is not documented: " + type;
    if (type != "application/json") return "";
    simdjson::dom::parser parser;
    Element body;
    if (parser.parse(answered.body).get(body)) return "the body is no JSON";
    return schemas_.why_not(schema, body);
  }

  static bool is_open_to_all(Operation const& operation) {
    Element security;
    return !operation.described["security"].get(security) && simdjson::dom::array(security).size() == 0;
  }

  void try_conversations();
  void try_static_routes();
  void try_runs();
  void try_automations();
  void try_runs_of_automations();
  void try_automation_service();
  void try_presets();
  void try_event_sources();
  void try_key_values();
  void try_sandboxes_and_users();
  void try_runtimes();
  void try_failed_starts();

  Surroundings surroundings() { return {*manager, publisher, *runs, *store}; }

  simdjson::dom::parser parser_;
  Element root_;
  JsonSchemas schemas_;
  std::map<std::string, Operation> operations_;
  std::set<std::string> called_;
};

TEST_F(Document, NamesEveryRouteAndNoOther) {
  std::set<std::string> known, documented;
  for (auto const& family : make_families(surroundings())) {
    for (auto const& route : family->routes())
      known.insert(std::string(method_name(route.method)) + " " + std::string(route.pattern));
  }
  for (auto const& [id, operation] : operations_)
    documented.insert(std::string(method_name(operation.method)) + " " + operation.path);
  EXPECT_EQ(documented, known);
}

TEST_F(Document, NamesTheBracesOfEachPathAsParameters) {
  for (auto const& [id, operation] : operations_) {
    std::set<std::string> in_path, named;
    for (auto open = operation.path.find('{'); open != operation.path.npos; open = operation.path.find('{', open + 1))
      in_path.insert(operation.path.substr(open + 1, operation.path.find('}', open) - open - 1));
    Element parameters;
    if (!operation.described["parameters"].get(parameters)) {
      for (auto const parameter : simdjson::dom::array(parameters))
        if (std::string_view(parameter["in"]) == "path") named.insert(std::string(std::string_view(parameter["name"])));
    }
    EXPECT_EQ(named, in_path) << id;
  }
}

TEST_F(Document, SaysWhichRoutesTakeNoApiKey) {
  for (auto const& [id, operation] : operations_) {
    Element security;
    bool needs_api_key = true;
    if (!operation.described["security"].get(security)) {
      needs_api_key = false;
      for (auto const one : simdjson::dom::array(security))
        needs_api_key = needs_api_key || one["runtimeKey"].error() == simdjson::SUCCESS;
    }
    EXPECT_EQ(api->admits_without_api_key(operation.method, with_x1(operation.path)), !needs_api_key) << id;
  }
}

TEST_F(Document, HoldsForWhoShowsNoKeyOrAWrongOne) {
  for (auto const& [id, operation] : operations_) {
    if (is_open_to_all(operation)) continue;
    for (std::string const fields : {"", "Authorization: Bearer wrong\r\n", "X-API-Key: wrong\r\n"}) {
      auto refused = ask_proxy(operation, fields);
      if (!refused) refused = ask(operation.method, with_x1(operation.path), with_key("wrong", R"({"status":"COMPLETED"})"));
      EXPECT_EQ(refused->status, 401U) << id << " " << fields;
      EXPECT_EQ(why_undocumented(operation, *refused), "") << id << " " << fields << refused->body;
    }
    // The remote runtime API's key stands in another field.
    auto const by_wrong_field = ask_proxy(operation, "Authorization: Bearer alice-key\r\n");
    if (by_wrong_field) EXPECT_EQ(why_undocumented(operation, *by_wrong_field), "") << id << by_wrong_field->body;
  }
}

TEST_F(Document, HoldsForABodyThatIsTooLarge) {
  for (auto const& [id, operation] : operations_) {
    if (operation.described["requestBody"].error()) continue;
    EXPECT_EQ(why_undocumented(operation, answered_by_proxy(413, "body_too_large", "x")), "") << id;
  }
}

TEST_F(Document, IsServedAsItIs) {
  auto const served = ask(Method::get, "/openapi.json", std::nullopt);
  EXPECT_EQ(served.status, 200U);
  EXPECT_EQ(served.body, openapi_document());
  EXPECT_TRUE(served.at("/openapi").starts_with("3.1."));
  EXPECT_TRUE(api->admits_without_api_key(Method::head, "/openapi.json"));
  EXPECT_EQ(ask(Method::head, "/openapi.json", std::nullopt).status, 200U);
  EXPECT_EQ(ask(Method::post, "/openapi.json", std::nullopt).status, 405U);
}

void Document::try_conversations() {
  nested.on("POST /api/conversations/c1/events", {200, R"({"success":true})"});
  call({"startConversation", 201, {}, "", as(alice, R"({"conversation_id":"c1"})")});
  call({"startConversation", 200, {}, "", as(alice, R"({"conversation_id":"c1"})")});
  call({"startConversation", 202, {}, "?wait=false", as(alice, R"({"conversation_id":"c2"})")});
  call({"startConversation", 400, {}, "", as(alice, "[]")});
  call({"startConversation", 401, {}, "", {std::nullopt}});
  call({"startConversation", 403, {}, "", as(robot)});
  call({"startConversation", 409, {}, "", as(bob, R"({"conversation_id":"c1"})")});
  call({"listConversations", 200, {}, "?limit=1"});
  call({"listConversations", 400, {}, "?limit=0"});
  call({"listConversations", 403, {}, "?owner=bob"});
  call({"getConversation", 200, {"c1"}});
  call({"getConversation", 404, {"none"}});
  call({"sendEvent", 200, {"c1"}, "", as(alice, "{}")});
  call({"sendEvent", 400, {"c1"}, "", as(alice, "[]")});
  call({"reconfigureConversation", 200, {"c1"}, "", as(alice, R"({"settings":{"a":1}})")});
  call({"reconfigureConversation", 400, {"c1"}, "", as(alice, "{}")});
  call({"revokeSessionKey", 200, {"c1"}});
  provider->said = "said\n";
  call({"getLog", 200, {"c1"}});
  call({"getLog", 400, {"c1"}, "?bytes=0"});
  call({"followProgress", 200, {"c1"}});
  call({"pauseConversation", 200, {"c1"}});
  call({"resumeConversation", 200, {"c1"}});
  call({"stopConversation", 400, {"c1"}, "?wait=zz"});
  call({"stopConversation", 200, {"c1"}});
  call({"reconfigureConversation", 409, {"c1"}, "", as(alice, R"({"settings":{"a":1}})")});
  call({"stopConversation", 404, {"c1"}, "", as(bob)});
  call({"deleteConversation", 204, {"c1"}});
  call({"deleteConversation", 404, {"c1"}});
}

void Document::try_failed_starts() {
  nested.on("POST /api/settings", {500, ""});
  call({"startConversation", 502, {}, "", as(alice, R"({"conversation_id":"f1","settings":{"a":1}})")});
  call({"getConversation", 200, {"f1"}});
  nested.on("POST /api/settings", {400, R"({"error":"no such model"})"});
  call({"startConversation", 422, {}, "", as(alice, R"({"conversation_id":"f1","settings":{"a":1}})")});
  provider->refusal = upstream::fail(FaultKind::overloaded, "test", "all are in use");
  call({"startConversation", 503, {}, "", as(alice, R"({"conversation_id":"f2"})")});
  auto limited = upstream::fail(FaultKind::overloaded, "test", "3 of 3 are in use");
  limited.limit = limited.current = 3;
  provider->refusal = limited;
  call({"startConversation", 429, {}, "", as(alice, R"({"conversation_id":"f3"})")});
}

TEST_F(Document, HoldsForTheEventsOfAStart) {
  ASSERT_EQ(start("c1").status, 201U);
  auto const followed = ask(Method::get, "/api/conversations/c1/progress");
  auto const event = control.run(followed.stream->next());
  auto const data = event.substr(event.find("data: ") + 6);
  Element const schema =
      operations_.at("followProgress").described.at_pointer("/responses/200/content/text~1event-stream/schema");
  simdjson::dom::parser parser;
  EXPECT_EQ(schemas_.why_not(schema["x-event-data"], parser.parse(data)), "") << event;
}

void Document::try_static_routes() {
  call({"putRoute", 200, {"s1"}, "", as(ops, R"({"url":"http://127.0.0.1:9001","ports":{"vscode":8001}})")});
  call({"putRoute", 400, {"s1"}, "", as(ops, "{}")});
  call({"putRoute", 422, {"s2"}, "", as(ops, R"({"url":"ftp://x"})")});
  call({"putRoute", 401, {"s1"}, "", {std::nullopt}});
  call({"putRoute", 403, {"s1"}});
  call({"listRoutes", 200, {}, "?limit=1", as(ops)});
  call({"listRoutes", 400, {}, "?limit=0", as(ops)});
  call({"changeRoutes", 200, {}, "", as(ops, R"({"put":[{"id":"a","url":"http://127.0.0.1:1"},7],"remove":["s1"]})")});
  call({"changeRoutes", 400, {}, "", as(ops, "7")});
  call({"deleteRoute", 204, {"a"}, "", as(ops)});
  call({"deleteRoute", 404, {"a"}, "", as(ops)});
}

void Document::try_runs() {
  ASSERT_EQ(start("c1").status, 201U);
  std::string const run = R"({"tarball_base64":"H4s=","entrypoint":"python main.py","conversation_id":"c1"})";
  auto const id = submit().at("/id");
  call({"submitRun", 201, {}, "", as(alice, run)});
  call({"submitRun", 404, {}, "", as(bob, run)});
  call({"submitRun", 422, {}, "", as(alice, R"({"nope":1})")});
  call({"listRuns", 200});
  call({"listRuns", 422, {}, "?limit=0"});
  call({"listRuns", 401, {}, "", {std::nullopt}});
  call({"getRun", 200, {id}});
  call({"getRun", 404, {std::string(nobody)}});
  call({"getRun", 422, {"none"}});
}

constexpr std::string_view plain_automation =
    R"({"name":"n","trigger":{"type":"cron","schedule":"0 0 1 1 *"},"tarball_path":"https://example.org/a","entrypoint":"e"})";

void Document::try_automations() {
  std::string const body(plain_automation);
  call({"uploadTarball", 201, {}, "?name=n", as(alice, "bytes"), "application/gzip"});
  call({"uploadTarball", 415, {}, "?name=n", as(alice, "bytes")});
  call({"uploadTarball", 422, {}, "", as(alice, "bytes"), "application/gzip"});
  call({"listUploads", 200, {}, "?limit=1"});
  auto const upload = ask(Method::get, "/api/automation/v1/uploads").at("/uploads/0/id");
  call({"getUpload", 200, {upload}});
  call({"getUpload", 404, {std::string(nobody)}});
  std::string stored = body;
  stored.replace(stored.find("https://example.org/a"), 21, "oh-internal://uploads/" + upload);
  call({"createAutomation", 201, {}, "", as(alice, stored)});
  call({"createAutomation", 422, {}, "", as(alice, "{}")});
  call({"createAutomation", 401, {}, "", {std::nullopt, {}, body}});
  call({"listAutomations", 200});
  call({"listAutomations", 422, {}, "?limit=0"});
  auto const id = ask(Method::get, "/api/automation/v1").at("/automations/0/id");
  call({"getTarball", 200, {id}});
  call({"changeAutomation", 200, {id}, "", as(alice, R"({"tarball_path":"https://example.org/a","target":"warm"})")});
  call({"changeAutomation", 501, {id}, "", as(alice, R"({"repos":[]})")});
  call({"changeAutomation", 404, {id}, "", as(bob, "{}")});
  call({"getTarball", 302, {id}});
  call({"getAutomation", 200, {id}});
  call({"getAutomation", 404, {std::string(nobody)}});
  call({"getSchedule", 200, {id}, "?count=2"});
  call({"listSkipped", 200, {id}});
  call({"deleteUpload", 204, {upload}});
  call({"deleteAutomation", 204, {id}});
}

void Document::try_runs_of_automations() {
  call({"createEndpoint", 201, {}, "", as(alice, R"({"url":"https://example.org/hook"})")});
  call({"createEndpoint", 422, {}, "", as(alice, "{}")});
  auto const automation = ask(Method::post, "/api/automation/v1", alice, std::string(plain_automation)).at("/id");
  call({"dispatchAutomation", 201, {automation}});
  auto const id = ask(Method::get, "/api/automation/v1/runs?automation_id=" + automation).at("/runs/0/id");
  call({"listRunsOfAutomation", 200, {automation}, "?status=PENDING"});
  call({"getRunOutput", 200, {id}});
  ASSERT_TRUE(control.run(store->automations().claim({id}, "gateway", {})));
  call({"reportPhase", 200, {id}, "", as(alice, R"({"phase":"at work"})")});
  call({"completeRun", 422, {id}, "", as(alice, "{}")});
  call({"completeRun", 401, {id}, "", {std::nullopt, {}, R"({"status":"COMPLETED"})"}});
  call({"completeRun", 403, {id}, "", as(bob, R"({"status":"COMPLETED"})")});
  call({"completeRun", 200, {id}, "", as(alice, R"({"status":"COMPLETED","cost":0.5})")});
  call({"completeRun", 409, {id}, "", as(alice, R"({"status":"FAILED"})")});
  call({"cancelRun", 409, {id}});
  call({"listDeliveries", 200, {id}});
  auto const delivery = ask(Method::get, "/api/automation/v1/runs/" + id + "/deliveries").at("/deliveries/0/id");
  call({"resendDelivery", 200, {id, delivery}});
  call({"resendDelivery", 404, {id, std::string(nobody)}});
  call({"dispatchAutomation", 201, {automation}});
  auto const waiting =
      ask(Method::get, "/api/automation/v1/runs?status=PENDING&automation_id=" + automation).at("/runs/0/id");
  call({"cancelRun", 200, {waiting}});
}

void Document::try_automation_service() {
  call({"listEndpoints", 200});
  auto const endpoint = ask(Method::get, "/api/automation/v1/endpoints").at("/endpoints/0/id");
  call({"getEndpoint", 200, {endpoint}});
  call({"changeEndpoint", 200, {endpoint}, "", as(alice, R"({"enabled":false})")});
  call({"rotateEndpointSecret", 200, {endpoint}});
  call({"deleteEndpoint", 204, {endpoint}});
  call({"deleteEndpoint", 404, {endpoint}});
  call({"giveConsent", 200, {}, "", as(alice, R"({"consent_granted":true})")});
  for (auto const* const id :
       {"getGitSyncStatus", "configureGitSync", "checkGitSync", "syncGit", "listDrafts", "createDraft", "readPluginSpec"})
    call({id, 501});
  for (auto const* const id : {"getDraft", "changeDraft", "deleteDraft", "dispatchDraft"})
    call({id, 501, {std::string(nobody)}});
  for (auto const* const id : {"getAutomationHealth", "getAutomationReadiness", "getSdkVersion", "getAutomationServerInfo",
                               "getAutomationDocument", "getSdkVersionAtRoot", "getAutomationServerInfoAtRoot"})
    call({id, 200, {}, "", {std::nullopt}});
}

void Document::try_presets() {
  std::string const prompt = R"({"name":"n","prompt":"p","trigger":{"type":"cron","schedule":"0 0 1 1 *"})";
  call({"createFromPrompt", 201, {}, "", as(alice, prompt + R"(,"repos":"https://example.org/o/r"})")});
  call({"createFromPrompt", 422, {}, "", as(alice, "{}")});
  call({"createFromPrompt", 401, {}, "", {std::nullopt, {}, prompt + "}"}});
  call({"createFromPlugins", 201, {}, "", as(alice, prompt + R"(,"plugins":{"source":"github:o/r"}})")});
  call({"createFromPlugins", 422, {}, "", as(alice, prompt + "}")});
  call({"getCapabilities", 200});
  call({"validateDraft", 200, {}, "", as(alice, R"({"endpoint":"/v1/preset/prompt","draft":)" + prompt + "}}")});
  call({"validateDraft", 200, {}, "", as(alice, R"({"endpoint":"/v1","draft":{}})")});
  call({"validateDraft", 422, {}, "", as(alice, "{}")});
}

std::string signed_with(std::string_view secret, std::string_view text) {
  std::string out;
  identity::append_hex(out, identity::as_text(identity::hmac_sha256(secret, {text})));
  return out;
}

void Document::try_event_sources() {
  call({"createWebhook",
        201,
        {},
        "",
        as(alice, R"({"name":"n","source":"orders","webhook_secret":"12345678",)"
                  R"("event_id_header":"X-Id"})")});
  call({"createWebhook", 409, {}, "", as(alice, R"({"name":"n","source":"Orders"})")});
  call({"createWebhook", 422, {}, "", as(alice, R"({"name":"n","source":"github"})")});
  call({"listWebhooks", 200});
  auto const listed = ask(Method::get, "/api/automation/v1/webhooks");
  auto const id = listed.at("/webhooks/0/id"), org = listed.at("/webhooks/0/org_id");
  call({"getWebhook", 200, {id}});
  call({"getWebhook", 404, {id}, "", as(bob)});
  call({"changeWebhook", 200, {id}, "", as(alice, R"({"name":"other"})")});
  call({"createAutomation",
        201,
        {},
        "",
        as(alice, R"({"name":"n","trigger":{"type":"event","source":"orders","on":"made.*"},)"
                  R"("tarball_path":"https://example.org/a","entrypoint":"e"})")});
  std::string const body = R"({"type":"made.now"})";
  auto const signature = signed_with("12345678", body);
  Asked const nobody_with_body{std::nullopt, {}, body};
  call({"receiveEvent", 200, {org, "orders"}, "", nobody_with_body, "", {{"x-signature-256", signature}, {"x-id", "1"}}});
  call({"receiveEvent", 200, {org, "orders"}, "", nobody_with_body, "", {{"x-signature-256", signature}, {"x-id", "1"}}});
  auto const runs = ask(Method::get, "/api/automation/v1/runs?status=PENDING");
  EXPECT_EQ(runs.at("/runs/0/trigger_source"), "event");
  call({"receiveEvent", 401, {org, "orders"}, "", nobody_with_body, "", {{"x-signature-256", "0" + signature}}});
  call({"receiveEvent", 401, {org, "orders"}, "", nobody_with_body});
  call({"receiveEvent", 404, {org, "none"}, "", nobody_with_body});
  call({"receiveEvent", 422, {"none", "orders"}, "", nobody_with_body});
  Asked const broken{std::nullopt, {}, "{"};
  call({"receiveEvent", 400, {org, "orders"}, "", broken, "", {{"x-signature-256", signed_with("12345678", "{")}}});
  call({"rotateWebhookSecret", 200, {id}});
  call({"receiveEvent", 200, {org, "orders"}, "", nobody_with_body, "", {{"x-signature-256", signature}, {"x-id", "2"}}});
  auto const source = signed_with("a secret of built-in sources", "jira_dc");
  call({"getRequestedTypes", 200, {"jira_dc"}, "", {std::nullopt}, "", {{"x-hub-signature-256", source}}});
  call({"getRequestedTypes", 401, {"github"}, "", {std::nullopt}, "", {{"x-hub-signature-256", source}}});
  call({"getRequestedTypes", 404, {"orders"}, "", {std::nullopt}});
  call({"deleteWebhook", 204, {id}});
  call({"deleteWebhook", 404, {id}});
}

void Document::try_key_values() {
  auto const automation = ask(Method::post, "/api/automation/v1", alice, std::string(plain_automation)).at("/id");
  std::string const of = "?automation_id=" + automation;
  call({"listKvKeys", 200, {}, of});
  call({"listKvKeys", 400});
  call({"listKvKeys", 404, {}, of, as(bob)});
  call({"listKvKeys", 422, {}, "", {std::nullopt}});
  call({"putKvValue", 201, {"k"}, of, as(alice, R"({"a":[1]})")});
  call({"putKvValue", 200, {"k"}, of, as(alice, R"({"a":[2]})")});
  call({"putKvValue", 409, {"k"}, of + "&nx=true", as(alice, "1")});
  call({"putKvValue", 413, {"big"}, of, as(alice, "\"" + std::string(70'000, 'x') + "\"")});
  call({"getKvValue", 200, {"k"}, of + "&path=a%5B0%5D"});
  call({"getKvValue", 200, {"k"}, of + "&meta=true"});
  call({"getKvValue", 404, {"none"}, of});
  call({"getKvValue", 400, {"$version"}, of});
  call({"patchKvValue", 200, {"k"}, of, as(alice, R"({"path":"b","value":null})")});
  call({"patchKvValue", 422, {"k"}, of, as(alice, "{}")});
  call({"increaseKvValue", 200, {"n"}, of});
  call({"decreaseKvValue", 200, {"n"}, of, as(alice, R"({"by":3})")});
  call({"increaseKvValue", 400, {"k"}, of});
  call({"pushKvLeft", 200, {"l"}, of, as(alice, R"({"value":1})")});
  call({"pushKvRight", 200, {"l"}, of, as(alice, R"({"value":2})")});
  call({"countKvValue", 200, {"l"}, of});
  call({"popKvLeft", 200, {"l"}, of});
  call({"popKvRight", 200, {"l"}, of});
  call({"changeKvBatch", 200, {}, of, as(alice, R"({"operations":[{"op":"incr","key":"n"}]})")});
  call({"changeKvBatch", 400, {}, of, as(alice, R"({"operations":[{"op":"incr","key":"k"}]})")});
  call({"changeKvBatch", 409, {}, of, as(alice, R"({"if_version":1,"operations":[{"op":"incr","key":"n"}]})")});
  call({"deleteKvValue", 200, {"k"}, of});
}

void Document::try_sandboxes_and_users() {
  call({"startSandbox", 200});
  call({"startSandbox", 422, {}, "?sandbox_spec_id=none"});
  call({"startSandbox", 401, {}, "", {std::nullopt}});
  auto const id = ask(Method::get, "/api/v1/sandboxes/search").at("/items/0/id");
  wait_for(id, conversation::RuntimeState::running);
  auto const key = ask(Method::get, "/api/v1/sandboxes?id=" + id).at("/0/session_api_key");
  call({"searchSandboxes", 200});
  call({"searchSandboxes", 422, {}, "?limit=0"});
  call({"getSandboxes", 200, {}, "?id=" + id + "&id=none"});
  call({"getSandboxes", 422});
  call({"searchSandboxSpecs", 200});
  call({"getSandboxSpecs", 200, {}, "?id=default&id=none"});
  call({"putMySecret", 200, {"TOKEN"}, "", as(alice, R"({"value":"v","description":"d"})")});
  call({"putMySecret", 422, {"TOKEN"}, "", as(alice, "{}")});
  call({"listMySecrets", 200});
  call({"listSandboxSecrets", 200, {id}, "", with_key(key)});
  call({"listSandboxSecrets", 401, {id}, "", with_key("wrong")});
  call({"getSandboxSecret", 200, {id, "TOKEN"}, "", with_key(key)});
  call({"getSandboxSecret", 404, {id, "NONE"}, "", with_key(key)});
  call({"getSandboxSecret", 403, {"other", "TOKEN"}, "", with_key(key)});
  call({"deleteMySecret", 200, {"TOKEN"}});
  call({"deleteMySecret", 404, {"TOKEN"}});
  call({"changeMe", 200, {}, "", as(alice, R"({"llm_model":"m","llm_api_key":"k"})")});
  call({"changeMe", 422, {}, "", as(alice, "7")});
  call({"getMe", 200});
  call({"getMe", 401, {}, "?expose_secrets=true"});
  call({"getMe", 422, {}, "?expose_secrets=zz"});
  call({"putMySecret", 422, {".."}, "", as(alice, R"({"value":"v"})")});
  call({"pushConversation", 200, {}, "", with_key(key, R"({"execution_status":"running"})")});
  call({"pushConversation", 401, {}, "", with_key("wrong", "{}")});
  call({"pushConversationOf", 200, {id}, "", with_key(key, "{}")});
  call({"pushConversationOf", 403, {"other"}, "", with_key(key, "{}")});
  call({"pushEvents", 200, {"x"}, "", with_key(key, "[]")});
  call({"pushEvents", 422, {"x"}, "", with_key(key, "7")});
  call({"pushEventsOf", 200, {id, "x"}, "", with_key(key, "[]")});
  call({"pauseSandbox", 200, {id}});
  call({"pauseSandbox", 404, {"none"}});
  call({"resumeSandbox", 200, {id}});
  call({"deleteSandbox", 200, {id}});
  call({"deleteSandbox", 404, {id}});
}

void Document::try_runtimes() {
  call({"startRuntime", 200, {}, "", as(alice, R"({"session_id":"r1","image":"x"})")});
  call({"startRuntime", 422, {}, "", as(alice, "{}")});
  wait_for("r1", conversation::RuntimeState::running);
  std::string const named = R"({"runtime_id":"r1"})";
  call({"listRuntimes", 200});
  call({"listRuntimes", 403, {}, "", as(robot)});
  call({"getSession", 200, {"r1"}});
  call({"getSession", 404, {"none"}});
  call({"getSessions", 200, {}, "?ids=r1&ids=none"});
  call({"getRuntimeReadiness", 200, {"r1"}});
  call({"getRegistryPrefix", 200});
  call({"getImageExists", 200, {}, "?image=x"});
  call({"getImageExists", 422});
  call({"pauseRuntime", 200, {}, "", as(alice, named)});
  call({"resumeRuntime", 200, {}, "", as(alice, named)});
  call({"stopRuntime", 200, {}, "", as(alice, named)});
  call({"stopRuntime", 404, {}, "", as(alice, named)});
}

TEST_F(Document, HoldsForEachOfItsOperations) {
  try_conversations();
  try_static_routes();
  try_runs();
  try_automations();
  try_runs_of_automations();
  try_automation_service();
  try_presets();
  try_event_sources();
  try_key_values();
  try_sandboxes_and_users();
  try_runtimes();
  try_failed_starts();
  call({"getDocument", 200, {}, "", {std::nullopt}});
  for (auto const& [id, operation] : operations_) EXPECT_TRUE(called_.contains(id)) << id << " is not tried";
}

}  // namespace
}  // namespace nestgate::api
