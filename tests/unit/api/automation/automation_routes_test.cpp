// The automation API's routes over a service with a store in memory that dispatches nothing.

#include <gtest/gtest.h>

#include <latch>

#include "nestgate/base/text.hpp"
#include "unit/api/whole_api.hpp"

namespace nestgate::test {
namespace {

using http::Method;

constexpr std::string_view root = "/api/automation";
constexpr std::string_view nobody = "00000000-0000-4000-8000-000000000000";
constexpr std::string_view plain_body =
    R"({"name":"n","trigger":{"type":"cron","schedule":"0 0 1 1 *"},"tarball_path":"https://example.org/a.tar.gz","entrypoint":"sh main.sh"})";

class AutomationRoutes : public WholeApi {
 protected:
  AutomationRoutes() : WholeApi(settings(), {}) {}

  // With the local key, unless `by` says otherwise.
  Answered call(Method method, std::string path, std::string body = {}) {
    return call_by(std::nullopt, method, std::move(path), std::move(body));
  }
  Answered call_by(std::optional<identity::Principal> by, Method method, std::string path, std::string body = {},
                   std::string content_type = "application/json") {
    auto request = request_for(method, std::string(root) + path, {std::move(by), {}, std::move(body)});
    request.content_type = std::move(content_type);
    if (!request.principal) show(request, "local-key");
    return ask(std::move(request));
  }
  static void show(proxy::ApiRequest& request, std::string key) {
    request.authorization_scheme = "Bearer";
    request.bearer = Secret(std::move(key));
  }
  std::string make(std::string body = std::string(plain_body)) {
    auto const made = call(Method::post, "/v1", std::move(body));
    EXPECT_EQ(made.status, 201U) << made.body;
    return made.at("/id");
  }
  Answered upload(std::string bytes, std::string query = "?name=code", std::string type = "application/gzip") {
    return call_by(std::nullopt, Method::post, "/v1/uploads" + query, std::move(bytes), std::move(type));
  }
  static std::string with_tarball(std::string_view path) {
    return R"({"name":"n","trigger":{"type":"cron","schedule":"0 0 1 1 *"},"entrypoint":"e","tarball_path":")" +
           std::string(path) + "\"}";
  }
  static std::string header(Answered const& answered, std::string_view name) {
    for (auto const& [known, value] : answered.headers) {
      if (known == name) return value;
    }
    return "(none)";
  }

 private:
  static api::Settings settings() {
    api::Settings out;
    out.automation.local_key = std::make_shared<Secret const>("local-key");
    out.automation.cors_origins = {"https://ours.example"};
    return out;
  }
};

TEST_F(AutomationRoutes, TheLocalKeyIsTheLocalUser) {
  auto const made = call(Method::post, "/v1", std::string(plain_body));
  EXPECT_EQ(made.status, 201U) << made.body;
  EXPECT_EQ(made.at("/user_id"), "c1a96d89-eae7-53bd-86ad-07f26266402b");
  EXPECT_EQ(made.at("/org_id"), "46d09c5c-7d7d-585f-8c37-a6b45a3de738");
  EXPECT_EQ(made.at("/timeout"), "600");
  EXPECT_EQ(made.at("/enabled"), "true");
  EXPECT_NE(made.at("/next_fire_at"), "null");
}

TEST_F(AutomationRoutes, KnowWhetherATargetIsAnAdminsWord) {
  identity::Principal const chief{"chief", identity::Role::admin, "alice"};
  auto const is_admins = [this](std::string const& id) {
    return control.run(store->automations().find(id)).value().value().target_by_admin;
  };
  auto const make_by = [this](identity::Principal const& by) {
    return call_by(by, Method::post, "/v1", std::string(plain_body)).at("/id");
  };
  auto const change_by = [this](identity::Principal const& by, std::string const& id, std::string body) {
    EXPECT_EQ(call_by(by, Method::patch, "/v1/" + id, std::move(body)).status, 200U);
  };
  EXPECT_TRUE(is_admins(make_by(ops)));
  EXPECT_TRUE(is_admins(make_by(chief)));
  EXPECT_FALSE(is_admins(make()));
  auto const prompted =
      call_by(chief, Method::post, "/v1/preset/prompt",
              R"({"name":"n","prompt":"p","trigger":{"type":"cron","schedule":"0 0 1 1 *"},"target":"conversation:c1"})");
  EXPECT_TRUE(is_admins(prompted.at("/id")));
  auto const id = make_by(alice);
  EXPECT_FALSE(is_admins(id));
  change_by(chief, id, R"({"name":"m"})");
  EXPECT_FALSE(is_admins(id)) << "its target is not the admin's";
  change_by(chief, id, R"({"target":"conversation:c1"})");
  EXPECT_TRUE(is_admins(id));
  change_by(alice, id, R"({"name":"o"})");
  EXPECT_TRUE(is_admins(id));
  change_by(alice, id, R"({"target":"conversation:c1"})");
  EXPECT_FALSE(is_admins(id));
}

TEST_F(AutomationRoutes, WhoShowsNoKeyIsToldSoBeforeAnythingElse) {
  auto const refused = [this](auto const& change) {
    auto request = request_for(Method::post, std::string(root) + "/v1", {std::nullopt, {}, "{}"});
    change(request);
    return ask(std::move(request));
  };
  auto const none = refused([](auto&) {});
  EXPECT_EQ(none.status, 401U);
  EXPECT_EQ(none.at("/detail"),
            "Authentication required: provide Bearer token, X-Session-API-Key header, or keycloak_auth cookie");
  EXPECT_EQ(refused([](auto& r) { show(r, ""); }).at("/detail"), "Empty API key");
  EXPECT_EQ(refused([](auto& r) { show(r, "wrong"); }).at("/detail"), "Invalid API key");
  EXPECT_EQ(refused([](auto& r) { r.session_key = Secret("wrong"); }).at("/detail"), "Invalid API key");
  EXPECT_EQ(refused([](auto& r) { r.cookie = Secret("a=b; keycloak_auth=x"); }).at("/detail"),
            "Invalid or expired session cookie");
  EXPECT_EQ(refused([](auto& r) {
              show(r, "wrong");
              r.session_key = Secret("local-key");
            }).status,
            401U)
      << "a bearer hides the other field";
  EXPECT_EQ(refused([](auto& r) { r.session_key = Secret("local-key"); }).status, 422U);
  EXPECT_EQ(refused([](auto& r) {
              r.authorization_scheme = "bearer";
              r.session_key = Secret("local-key");
            }).status,
            422U);
}

TEST_F(AutomationRoutes, MalformedJsonIsToldToAnybody) {
  auto request = request_for(Method::post, std::string(root) + "/v1", {std::nullopt, {}, "{"});
  auto const answered = ask(std::move(request));
  EXPECT_EQ(answered.status, 422U);
  EXPECT_EQ(answered.at("/detail/0/type"), "json_invalid");
  EXPECT_EQ(answered.at("/detail/0/loc"), R"(["body",1])");
}

TEST_F(AutomationRoutes, SomebodyElsesAutomationIsNotThere) {
  auto const id = make();
  for (auto const& [method, rest] :
       {std::pair{Method::get, ""}, std::pair{Method::delete_, ""}, std::pair{Method::get, "/tarball"},
        std::pair{Method::post, "/dispatch"}, std::pair{Method::get, "/runs"}, std::pair{Method::get, "/schedule"},
        std::pair{Method::get, "/skipped"}}) {
    auto const answered = call_by(alice, method, "/v1/" + id + rest);
    EXPECT_EQ(answered.status, 404U) << rest;
    EXPECT_EQ(answered.at("/detail"), "Automation not found") << rest;
  }
  EXPECT_EQ(call_by(alice, Method::patch, "/v1/" + id, R"({"name":"mine"})").status, 404U);
  EXPECT_EQ(call_by(alice, Method::get, "/v1").at("/total"), "0");
  EXPECT_EQ(call(Method::get, "/v1").at("/total"), "1");
  EXPECT_EQ(call_by(robot, Method::post, "/v1", std::string(plain_body)).status, 201U) << "keys of each role may manage";
  EXPECT_EQ(call_by(alice, Method::get, "/v1").at("/total"), "1") << "the robot's owner is alice";
}

TEST_F(AutomationRoutes, AnIdThatIsNoneIsAFaultOfThePath) {
  auto const answered = call(Method::get, "/v1/not-a-uuid");
  EXPECT_EQ(answered.status, 422U);
  EXPECT_EQ(answered.at("/detail/0/type"), "uuid_parsing");
  EXPECT_EQ(answered.at("/detail/0/loc"), R"(["path","automation_id"])");
  auto const id = make();
  std::string upper = id;
  for (char& c : upper) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  EXPECT_EQ(call(Method::get, "/v1/" + upper).at("/id"), id);
}

TEST_F(AutomationRoutes, ASlashAtTheEndIsRedirected) {
  auto request = request_for(Method::get, std::string(root) + "/v1/?limit=1", {std::nullopt, {}, {}});
  request.mount = "/acme";
  auto const answered = ask(std::move(request));
  EXPECT_EQ(answered.status, 307U);
  EXPECT_EQ(header(answered, "Location"), "/acme/api/automation/v1?limit=1");
  EXPECT_EQ(call(Method::get, "/v1/a/b/c/").status, 404U);
}

TEST_F(AutomationRoutes, WhatIsNotThereAndWhatIsNotAllowedSaySo) {
  EXPECT_EQ(call(Method::get, "/v1/uploads/x/y/z").body, R"({"detail":"Not Found"})");
  auto const wrong = call(Method::get, "/v1/runs/" + std::string(nobody) + "/cancel");
  EXPECT_EQ(wrong.status, 405U);
  EXPECT_EQ(wrong.body, R"({"detail":"Method Not Allowed"})");
  EXPECT_EQ(header(wrong, "Allow"), "POST");
}

TEST_F(AutomationRoutes, OtherSitesPagesMayCallWithAKeyAndOursWithCookies) {
  auto const preflight = [this](std::string origin, std::string headers, std::string method = "POST") {
    auto request = request_for(Method::options, std::string(root) + "/v1", {std::nullopt, {}, {}});
    request.fields = {{"origin", std::move(origin)},
                      {"access-control-request-method", std::move(method)},
                      {"access-control-request-headers", std::move(headers)}};
    return ask(std::move(request));
  };
  auto const with_key = preflight("https://any.example", "content-type, Authorization");
  EXPECT_EQ(with_key.status, 200U);
  EXPECT_EQ(header(with_key, "Access-Control-Allow-Origin"), "*");
  auto const like_a_key = preflight("https://any.example", "x-authorization-2");
  EXPECT_EQ(like_a_key.status, 400U);
  EXPECT_EQ(header(like_a_key, "Access-Control-Allow-Origin"), "(none)");
  EXPECT_EQ(like_a_key.body, "Disallowed CORS origin");
  auto const ours = preflight("https://ours.example", "content-type");
  EXPECT_EQ(header(ours, "Access-Control-Allow-Origin"), "https://ours.example");
  EXPECT_EQ(header(ours, "Access-Control-Allow-Credentials"), "true");
  EXPECT_EQ(preflight("https://ours.example", "", "BREW").status, 400U);

  auto request = request_for(Method::get, std::string(root) + "/v1", {std::nullopt, {}, {}});
  show(request, "wrong");
  request.fields = {{"origin", "https://any.example"}};
  EXPECT_EQ(header(ask(std::move(request)), "Access-Control-Allow-Origin"), "*") << "also where it is refused";
}

TEST_F(AutomationRoutes, ATemplateMakesOneAutomation) {
  std::string const body =
      std::string(plain_body.substr(0, plain_body.size() - 1)) + R"(,"template":{"id":"t","version":"1"}})";
  auto const first = call(Method::post, "/v1", body);
  EXPECT_EQ(first.status, 201U);
  EXPECT_EQ(first.at("/preset_metadata"), R"({"template":{"id":"t","version":"1"}})");
  auto const again = call(Method::post, "/v1", body);
  EXPECT_EQ(again.status, 200U);
  EXPECT_EQ(again.body, first.body);
  EXPECT_EQ(call(Method::delete_, "/v1/" + first.at("/id")).status, 204U);
  EXPECT_NE(call(Method::post, "/v1", body).at("/id"), first.at("/id"));
}

TEST_F(AutomationRoutes, ATarballThatIsAnUploadIsChecked) {
  auto const path = upload("bytes").at("/tarball_path");
  EXPECT_TRUE(path.starts_with("oh-internal://uploads/"));
  auto const refused = [this](std::string_view tarball, std::optional<identity::Principal> by = std::nullopt) {
    auto const answered = call_by(std::move(by), Method::post, "/v1", with_tarball(tarball));
    return std::to_string(answered.status) + " " + answered.at("/detail");
  };
  EXPECT_EQ(call(Method::post, "/v1", with_tarball(path)).status, 201U);
  EXPECT_EQ(refused(path, bob), "404 Upload not found");
  EXPECT_EQ(refused("oh-internal://uploads/" + std::string(nobody)), "404 Upload not found");
  EXPECT_EQ(refused("oh-internal://uploads/x"),
            "422 Invalid internal upload URL format. Expected: oh-internal://uploads/{uuid}");
  EXPECT_EQ(refused("http://example.org/x"),
            "422 Invalid tarball_path. Must be oh-internal://uploads/{uuid} or a public URL (https://, s3://, gs://)");
  auto const id = make();
  auto const change = R"({"tarball_path":"oh-internal://uploads/)" + std::string(nobody) + "\"}";
  EXPECT_EQ(call(Method::patch, "/v1/" + id, change).at("/detail"), "Upload not found");
  EXPECT_EQ(call(Method::patch, "/v1/" + id, R"({"tarball_path":"http://example.org/x"})").status, 422U);
  EXPECT_EQ(call(Method::delete_, "/v1/uploads/" + path.substr(path.rfind('/') + 1)).status, 204U);
  EXPECT_EQ(refused(path), "400 Upload has been deleted");
}

TEST_F(AutomationRoutes, AChangeAppliesToItsKeyAlone) {
  auto const id = make();
  auto const before = call(Method::get, "/v1/" + id);
  auto const changed = call(Method::patch, "/v1/" + id, R"({"enabled":false,"prompt":"p"})");
  EXPECT_EQ(changed.status, 200U) << changed.body;
  EXPECT_EQ(changed.at("/enabled"), "false");
  EXPECT_EQ(changed.at("/next_fire_at"), "null");
  EXPECT_EQ(changed.at("/prompt"), "p");
  EXPECT_EQ(changed.at("/name"), before.at("/name"));
  EXPECT_EQ(changed.at("/tarball_path"), before.at("/tarball_path"));
  EXPECT_GE(*parse_rfc3339(changed.at("/updated_at")), *parse_rfc3339(before.at("/updated_at")));
  EXPECT_EQ(call(Method::patch, "/v1/" + std::string(nobody), R"({"name":"n"})").status, 404U);
  EXPECT_EQ(call(Method::patch, "/v1/" + std::string(nobody), R"({"name":""})").status, 422U);
  EXPECT_EQ(call(Method::patch, "/v1/" + id, R"({"repos":[]})").status, 501U);
}

TEST_F(AutomationRoutes, ADeletedAutomationIsGone) {
  auto const id = make();
  auto const gone = call(Method::delete_, "/v1/" + id);
  EXPECT_EQ(gone.status, 204U);
  EXPECT_EQ(gone.body, "");
  EXPECT_EQ(call(Method::get, "/v1/" + id).status, 404U);
  EXPECT_EQ(call(Method::delete_, "/v1/" + id).status, 404U);
  EXPECT_EQ(call(Method::get, "/v1").at("/total"), "0");
}

TEST_F(AutomationRoutes, ATarballIsHandedOutUnderItsAutomationsName) {
  auto const path = upload("the bytes").at("/tarball_path");
  auto const id = call(Method::post, "/v1", with_tarball(path)).at("/id");
  auto const named = [&](std::string_view name) {
    EXPECT_EQ(call(Method::patch, "/v1/" + id, R"({"name":")" + std::string(name) + "\"}").status, 200U);
    auto const answered = call(Method::get, "/v1/" + id + "/tarball");
    EXPECT_EQ(answered.body, "the bytes");
    EXPECT_EQ(answered.content_type, "application/x-tar");
    return header(answered, "Content-Disposition");
  };
  EXPECT_EQ(named(R"(a \"quoted\"/\\name)"), R"(attachment; filename="a quotedname.tar")");
  EXPECT_EQ(named(R"(\"/\\)"), R"(attachment; filename="automation.tar")");
  EXPECT_EQ(named(R"(two\r\nlines)"), R"(attachment; filename="twolines.tar")");
  EXPECT_EQ(named("テ"), R"(attachment; filename="automation.tar"; filename*=UTF-8''%E3%83%86.tar)");
  EXPECT_EQ(call(Method::delete_, "/v1/uploads/" + path.substr(path.rfind('/') + 1)).status, 204U);
  EXPECT_EQ(call(Method::get, "/v1/" + id + "/tarball").at("/detail"),
            "Tarball not found (underlying upload may have been deleted)");
}

TEST_F(AutomationRoutes, ATarballElsewhereIsRedirectedToOrNotProxied) {
  auto const web = call(Method::get, "/v1/" + make() + "/tarball");
  EXPECT_EQ(web.status, 302U);
  EXPECT_EQ(header(web, "Location"), "https://example.org/a.tar.gz");
  auto const bucket = call(Method::get, "/v1/" + make(with_tarball("s3://b/a")) + "/tarball");
  EXPECT_EQ(bucket.status, 422U);
  EXPECT_TRUE(bucket.at("/detail").starts_with("Cannot proxy s3:// tarball URLs."));
}

TEST_F(AutomationRoutes, AnUploadIsTakenShownListedAndRemoved) {
  auto const made = upload("1234", "?name=n%C3%A4me&description=d");
  EXPECT_EQ(made.status, 201U) << made.body;
  EXPECT_EQ(made.at("/name"), "näme");
  EXPECT_EQ(made.at("/size_bytes"), "4");
  EXPECT_EQ(made.at("/status"), "COMPLETED");
  auto const id = made.at("/id");
  EXPECT_EQ(call(Method::get, "/v1/uploads/" + id).body, made.body);
  EXPECT_EQ(call(Method::get, "/v1/uploads?status=COMPLETED").at("/total"), "1");
  EXPECT_EQ(call(Method::get, "/v1/uploads?status=FAILED").at("/total"), "0");
  EXPECT_EQ(call(Method::get, "/v1/uploads?status=x").status, 422U);
  EXPECT_EQ(call_by(alice, Method::get, "/v1/uploads/" + id).at("/detail"), "Upload not found");
  EXPECT_EQ(call(Method::delete_, "/v1/uploads/" + id).status, 204U);
  EXPECT_EQ(call(Method::get, "/v1/uploads/" + id).status, 404U);
  EXPECT_EQ(call(Method::delete_, "/v1/uploads/" + id).status, 404U);
}

TEST_F(AutomationRoutes, AnUploadThatWillNotDoIsRefused) {
  EXPECT_EQ(upload("x", "?name=n", "application/json").at("/detail"),
            "Content-Type must be one of: application/gzip, application/octet-stream, application/x-compressed-tar, "
            "application/x-gzip, application/x-tar");
  EXPECT_EQ(upload("x", "?name=n", "application/gzip; charset=binary").status, 201U);
  EXPECT_EQ(upload("x", "").at("/detail/0/type"), "missing");
  EXPECT_EQ(upload("x", "?name=").at("/detail/0/type"), "string_too_short");
  EXPECT_EQ(upload(std::string(1'048'576, 'x')).status, 201U);
  auto const large = upload(std::string(1'048'577, 'x'));
  EXPECT_EQ(large.status, 413U);
  EXPECT_EQ(large.at("/detail"), "File too large. Maximum size is 1048576 bytes");
}

TEST_F(AutomationRoutes, ABodysLengthIsBoundedByItsRouteAndByWhoSendsIt) {
  using From = proxy::BodyLimit::From;
  auto const limit = [this](std::string_view key, std::string path) {
    auto request = request_for(Method::post, std::string(root) + path, {std::nullopt, {}, {}});
    if (!key.empty()) show(request, std::string(key));
    return api->body_limit(request);
  };
  EXPECT_EQ(limit("local-key", "/v1/uploads").bytes_max, 1'048'576U);
  EXPECT_EQ(limit("local-key", "/v1/uploads").refusal, "File too large. Maximum size is 1048576 bytes");
  EXPECT_EQ(limit("local-key", "/v1/uploads").from, From::known);
  EXPECT_EQ(limit("wrong", "/v1/uploads").from, From::strangers);
  EXPECT_EQ(limit("", "/v1/runs/x/complete").from, From::known) << "the route knows its callers itself";
  EXPECT_EQ(limit("", "/v1/nothing/there").bytes_max, 64U * 1024);
}

TEST_F(AutomationRoutes, ADispatchMakesARunAndAKeyMakesItOne) {
  auto const id = make();
  auto const run = call(Method::post, "/v1/" + id + "/dispatch");
  EXPECT_EQ(run.status, 201U) << run.body;
  EXPECT_EQ(run.at("/status"), "PENDING");
  EXPECT_EQ(run.at("/automation_id"), id);
  for (auto const* const unknown : {"/error_detail", "/status_detail", "/conversation_id", "/cost", "/bash_command_id",
                                    "/completed_at", "/current_phase", "/exit_code"}) {
    EXPECT_EQ(run.at(unknown), "null") << unknown;
  }
  auto const by_key = [&](std::string key) {
    auto request = request_for(Method::post, std::string(root) + "/v1/" + id + "/dispatch", {std::nullopt, {}, {}});
    show(request, "local-key");
    request.fields = {{"idempotency-key", std::move(key)}};
    return ask(std::move(request));
  };
  auto const first = by_key("k1");
  EXPECT_EQ(by_key("k1").at("/id"), first.at("/id"));
  EXPECT_NE(by_key("k2").at("/id"), first.at("/id"));
  EXPECT_EQ(by_key("two words").status, 422U);
  auto const listed = call(Method::get, "/v1/" + id + "/runs");
  EXPECT_EQ(listed.at("/total"), "3");
  EXPECT_EQ(listed.at("/status_counts/PENDING"), "3");
  EXPECT_EQ(call(Method::get, "/v1/" + id + "/runs?status=RUNNING").at("/total"), "0");
  EXPECT_EQ(call(Method::get, "/v1/runs?automation_id=" + id + "&created_from=2020-01-01T00:00:00Z").at("/total"), "3");
  EXPECT_EQ(call(Method::get, "/v1/runs?created_until=2020-01-01T00:00:00Z").at("/total"), "0");
  EXPECT_EQ(call(Method::get, "/v1/runs?created_from=yesterday").at("/detail/0/type"), "datetime_parsing");
}

TEST_F(AutomationRoutes, RunsAreCountedByStatusOfThoseThatTheListHas) {
  auto const id = make();
  auto const made = call_by(alice, Method::post, "/v1", std::string(plain_body));
  ASSERT_EQ(made.status, 201U) << made.body;
  auto const run = call(Method::post, "/v1/" + id + "/dispatch").at("/id");
  call(Method::post, "/v1/" + id + "/dispatch");
  call(Method::post, "/v1/runs/" + run + "/cancel");
  call_by(alice, Method::post, "/v1/" + made.at("/id") + "/dispatch");
  auto const counts = [this](std::optional<identity::Principal> by, std::string query) {
    return call_by(std::move(by), Method::get, "/v1/runs" + std::move(query)).at("/status_counts");
  };
  EXPECT_EQ(counts(ops, ""), R"({"PENDING":2,"CANCELLED":1})") << "an admin's list has everybody's";
  EXPECT_EQ(counts(alice, ""), R"({"PENDING":1})");
  EXPECT_EQ(counts(ops, "?automation_id=" + id), R"({"PENDING":1,"CANCELLED":1})");
  EXPECT_EQ(counts(std::nullopt, "?status=PENDING"), R"({"PENDING":1,"CANCELLED":1})");
  EXPECT_EQ(counts(ops, "?created_until=2020-01-01T00:00:00Z"), "{}");
}

TEST_F(AutomationRoutes, ARunIsCancelledOnce) {
  auto const run = call(Method::post, "/v1/" + make() + "/dispatch").at("/id");
  EXPECT_EQ(call_by(alice, Method::post, "/v1/runs/" + run + "/cancel").at("/detail"), "Not your automation");
  EXPECT_EQ(call_by(alice, Method::get, "/v1/runs/" + run).at("/detail"), "Run not found");
  auto const cancelled = call(Method::post, "/v1/runs/" + run + "/cancel");
  EXPECT_EQ(cancelled.status, 200U) << cancelled.body;
  EXPECT_EQ(cancelled.at("/status"), "CANCELLED");
  EXPECT_EQ(cancelled.at("/error_detail"), "Cancelled by user");
  auto const again = call(Method::post, "/v1/runs/" + run + "/cancel");
  EXPECT_EQ(again.status, 409U);
  EXPECT_EQ(again.at("/detail"), "Run is CANCELLED, only PENDING or RUNNING runs can be cancelled");
  EXPECT_EQ(call(Method::post, "/v1/runs/" + std::string(nobody) + "/cancel").at("/detail"), "Run not found");
}

TEST_F(AutomationRoutes, AReportNeedsAKeyOrTheRunsOwnToken) {
  auto const run = call(Method::post, "/v1/" + make() + "/dispatch").at("/id");
  auto const report = [&](std::string key) {
    auto request = request_for(Method::post, std::string(root) + "/v1/runs/" + run + "/complete",
                               {std::nullopt, {}, R"({"status":"COMPLETED"})"});
    if (!key.empty()) show(request, std::move(key));
    return ask(std::move(request));
  };
  EXPECT_TRUE(report("").at("/detail").starts_with("Authentication required"));
  EXPECT_EQ(report("wrong").at("/detail"), "Invalid API key");
  identity::KeyRing const ring(identity::Derivation::sha256, secrets());
  auto const token = [&ring](std::string_view id) { return std::string(ring.run_token(id).reveal()); };
  EXPECT_EQ(report(token(nobody)).status, 401U) << "another run's";
  EXPECT_EQ(report(token(run)).at("/detail"), "Run is PENDING, expected RUNNING");
  EXPECT_EQ(report("local-key").status, 409U);
  EXPECT_EQ(call_by(alice, Method::post, "/v1/runs/" + run + "/complete", R"({"status":"COMPLETED"})").at("/detail"),
            "Not your automation");
  EXPECT_EQ(call(Method::post, "/v1/runs/" + run + "/complete", R"({"status":"completed"})").at("/detail/0/type"),
            "literal_error");
  EXPECT_EQ(call(Method::post, "/v1/runs/" + run + "/phase", R"({"phase":"x"})").at("/detail"),
            "Run is PENDING, expected RUNNING");
}

TEST_F(AutomationRoutes, AScheduleTellsItsNextMoments) {
  auto const id = make();
  auto const told = call(Method::get, "/v1/" + id + "/schedule?count=2");
  EXPECT_EQ(told.at("/next_fire_times/0"), call(Method::get, "/v1/" + id).at("/next_fire_at"));
  EXPECT_LT(*parse_rfc3339(told.at("/next_fire_times/0")), *parse_rfc3339(told.at("/next_fire_times/1")));
  EXPECT_EQ(call(Method::get, "/v1/" + id + "/schedule?count=0").status, 422U);
  EXPECT_EQ(call(Method::get, "/v1/" + id + "/skipped").body, R"({"skipped":[],"total":0})");
}

TEST_F(AutomationRoutes, ARunsOutputIsTheEndOfItOrAStream) {
  auto const run = call(Method::post, "/v1/" + make() + "/dispatch").at("/id");
  EXPECT_EQ(call(Method::get, "/v1/runs/" + run + "/output").at("/stdout"), "");
  call(Method::post, "/v1/runs/" + run + "/cancel");
  auto request = request_for(Method::get, std::string(root) + "/v1/runs/" + run + "/output", {std::nullopt, {}, {}});
  show(request, "local-key");
  request.fields = {{"accept", "text/event-stream"}};
  auto const followed = ask(std::move(request));
  EXPECT_EQ(followed.content_type, "text/event-stream");
  auto const end = control.run(followed.stream->next());
  EXPECT_TRUE(end.starts_with("event: end\ndata: {\"id\":\"" + run)) << end;
  EXPECT_EQ(control.run(followed.stream->next()), "");
}

TEST_F(AutomationRoutes, AnEndpointsSecretIsShownOnceAndOverlapsTheOneBefore) {
  auto const made = call(Method::post, "/v1/endpoints", R"({"url":"https://example.org/hook"})");
  EXPECT_EQ(made.status, 201U) << made.body;
  EXPECT_TRUE(made.at("/secret").starts_with("whsec_"));
  auto const path = "/v1/endpoints/" + made.at("/id");
  EXPECT_EQ(call(Method::get, path).at("/secret"), "(none)");
  auto const rotated = call(Method::post, path + "/rotate-secret");
  EXPECT_EQ(rotated.status, 200U) << rotated.body;
  EXPECT_NE(rotated.at("/secret"), made.at("/secret"));
  EXPECT_EQ(rotated.at("/secrets"), "2");
  EXPECT_EQ(call(Method::post, path + "/rotate-secret", R"({"keep_previous":false})").at("/secrets"), "1");
  EXPECT_EQ(call(Method::patch, path, R"({"enabled":false})").at("/enabled"), "false");
  EXPECT_EQ(call_by(alice, Method::get, path).at("/detail"), "Endpoint not found");
  EXPECT_EQ(call(Method::get, "/v1/endpoints").at("/total"), "1");
  EXPECT_EQ(call(Method::delete_, path).status, 204U);
  EXPECT_EQ(call(Method::get, path).status, 404U);
  EXPECT_EQ(call(Method::post, "/v1/endpoints", R"({"url":"ftp://x"})").at("/detail/0/type"), "value_error");
}

TEST_F(AutomationRoutes, TheServiceTellsOfItselfWithoutAKey) {
  auto const open = [this](std::string path) { return ask(Method::get, std::move(path), std::nullopt); };
  EXPECT_EQ(open("/api/automation/health").body, R"({"status":"ok"})");
  EXPECT_EQ(open("/api/automation/ready").body, R"({"status":"ready"})");
  EXPECT_EQ(open("/api/automation/sdk-version").body, R"({"version":"1.43.1"})");
  EXPECT_EQ(open("/sdk-version").body, R"({"version":"1.43.1"})");
  EXPECT_EQ(open("/server_info").at("/sdk_version"), "1.43.1");
  EXPECT_TRUE(open("/api/automation/openapi.json").at("/openapi").starts_with("3."));
}

TEST_F(AutomationRoutes, TheServiceIsNotReadyWhileItsStoreDoesNotAnswer) {
  auto const run = call(Method::post, "/v1/" + make() + "/dispatch").at("/id");
  std::latch opened(1);
  bool is_over = false;
  auto const hold = [](store::AutomationStore& rows, std::string id, std::latch& until, bool& over) -> Task<> {
    [[maybe_unused]] auto held = co_await rows.judge(std::move(id), std::nullopt, [&until](store::RunRow const& row) {
      until.wait();
      store::RunDecision decision;
      decision.run = row.clone();
      return decision;
    });
    over = true;
  };
  TaskGroup tasks(control.executor());
  tasks.spawn("test.hold", hold(store->automations(), run, opened, is_over));
  auto const answered = ask(Method::get, "/api/automation/ready", std::nullopt);
  EXPECT_FALSE(is_over) << "answered before the store was";
  EXPECT_EQ(answered.status, 503U);
  EXPECT_EQ(answered.body, R"({"status":"not_ready","error":"database unavailable"})");
  opened.count_down();
  [[maybe_unused]] auto const joined = control.run(tasks.join());
  EXPECT_EQ(ask(Method::get, "/api/automation/ready", std::nullopt).status, 200U);
}

TEST_F(AutomationRoutes, ConsentIsKeptByFrontEnd) {
  auto const consent = [this](std::string body) { return call(Method::post, "/v1/telemetry/consent", std::move(body)); };
  EXPECT_EQ(consent(R"({"consent_granted":true,"frontend_distinct_id":"a"})").body, R"({"consent_granted":true})");
  EXPECT_EQ(consent(R"({"consent_granted":false,"frontend_distinct_id":"b"})").body, R"({"consent_granted":true})");
  EXPECT_EQ(consent(R"({"consent_granted":false,"frontend_distinct_id":"a"})").body, R"({"consent_granted":false})");
  EXPECT_EQ(consent("{}").at("/detail/0/type"), "missing");
}

TEST_F(AutomationRoutes, WhatIsNotDoneHereSaysWhy) {
  for (auto const* const path : {"/v1/git-sync/status", "/v1/drafts"}) {
    auto const answered = call(Method::get, path);
    EXPECT_EQ(answered.status, 501U) << path;
    EXPECT_GT(answered.at("/detail").size(), 10U) << path;
  }
}

}  // namespace
}  // namespace nestgate::test
