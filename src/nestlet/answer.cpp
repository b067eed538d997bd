#include "nestlet/answer.hpp"

#include <algorithm>

#include "nestgate/codec/json_writer.hpp"

namespace nestgate::nestlet {

using codec::JsonWriter;

Answer json(std::string body) { return {200, std::move(body)}; }
Answer success() { return json(R"({"success":true})"); }

Answer plain(std::string text) {
  Answer answer(200, std::move(text));
  answer.content_type = "text/plain; charset=utf-8";
  return answer;
}

Refusal refuse(unsigned status, std::string_view detail) {
  Refusal refusal{status, {}};
  JsonWriter(refusal.body).begin_object().member("detail", detail).end_object();
  return refusal;
}

Refusal not_found() { return refuse(404, "Not Found"); }

Refusal invalid(std::string_view where, std::string_view field, std::string_view type, std::string_view message) {
  Refusal refusal{422, {}};
  JsonWriter w(refusal.body);
  w.begin_object().key("detail").begin_array().begin_object();
  w.member("type", type).key("loc").begin_array();
  for (auto rest = where; !rest.empty();) {
    auto const step = rest.substr(0, rest.find('.'));
    w.value(step);
    rest.remove_prefix(std::min(rest.size(), step.size() + 1));
  }
  if (!field.empty()) w.value(field);
  w.end_array().member("msg", message).key("input").null();
  w.end_object().end_array().end_object();
  return refusal;
}

Refusal missing(std::string_view where, std::string_view field) {
  return invalid(where, field, "missing", "Field required");
}

std::string_view reason(unsigned status) {
  switch (status) {
    case 200: return "OK";
    case 201: return "Created";
    case 204: return "No Content";
    case 206: return "Partial Content";
    case 304: return "Not Modified";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 413: return "Content Too Large";
    case 416: return "Range Not Satisfiable";
    case 422: return "Unprocessable Entity";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 503: return "Service Unavailable";
    case 507: return "Insufficient Storage";
  }
  return "";
}

}  // namespace nestgate::nestlet
