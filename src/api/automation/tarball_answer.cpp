#include "tarball_answer.hpp"

#include <algorithm>

#include "api/answers.hpp"
#include "api/detail_answers.hpp"
#include "endpoint.hpp"
#include "nestgate/base/text.hpp"

namespace nestgate::api {
namespace {

// Without what ends a quoted text, a header or a folder's name.
std::string file_name(std::string_view name) {
  std::string out;
  for (char const c : name) {
    bool const is_control = static_cast<unsigned char>(c) < ' ' || c == 0x7f;
    if (!is_control && c != '"' && c != '\\' && c != '/') out += c;
  }
  return (out.empty() ? std::string("automation") : out) + ".tar";
}

std::string disposition(std::string_view name) {
  auto const whole = file_name(name);
  auto const is_ascii = [](char c) { return static_cast<unsigned char>(c) < 0x80; };
  if (std::all_of(whole.begin(), whole.end(), is_ascii)) return "attachment; filename=\"" + whole + "\"";
  std::string plain;
  for (char const c : whole) {
    if (is_ascii(c)) plain += c;
  }
  std::string out = "attachment; filename=\"" + (plain == ".tar" ? "automation.tar" : plain) + "\"; filename*=UTF-8''";
  append_percent_encoded(out, whole);
  return out;
}

}  // namespace

proxy::ApiResponse stored_tarball(std::string_view name, std::string bytes) {
  auto response = answer(200, std::move(bytes));
  response.content_type = "application/x-tar";
  response.headers.emplace_back("Content-Disposition", disposition(name));
  return response;
}

proxy::ApiResponse external_tarball(std::string_view path) {
  auto const scheme = path.substr(0, path.find("://"));
  bool const is_web = scheme == "https" || scheme == "http";
  auto const is_visible = [](char c) { return c > ' ' && c < 0x7f; };
  if (is_web && std::all_of(path.begin(), path.end(), is_visible)) return redirect(302, std::string(path));
  return refusal(422, "Cannot proxy " + std::string(scheme) + ":// tarball URLs. Ask the storage itself for it");
}

}  // namespace nestgate::api
