#include "detail_answers.hpp"

#include <algorithm>

#include "answers.hpp"
#include "nestgate/api/list_query.hpp"
#include "nestgate/codec/json_writer.hpp"
#include "shapes.hpp"

namespace nestgate::api {

using proxy::ApiRequest;
using proxy::ApiResponse;

ApiResponse success() { return answer(200, R"({"success":true})"); }

ApiResponse refusal(unsigned status, std::string_view detail) { return answer(status, detail_json(detail)); }

ApiResponse no_such_route(std::string allow) {
  if (allow.empty()) return refusal(404, "Not Found");
  return not_allowed(std::move(allow), detail_json("Method Not Allowed"));
}

ApiResponse invalid_query(std::string_view name, std::string_view type, std::string_view message) {
  std::string out;
  codec::JsonWriter w(out);
  w.begin_object().key("detail").begin_array().begin_object().member("type", type);
  w.key("loc").begin_array().value("query").value(name).end_array();
  w.member("msg", message).end_object().end_array().end_object();
  return answer(422, std::move(out));
}

ApiResponse refusal(ApiRequest const& request, upstream::Failure const& failed) {
  return failed.limit != 0 ? failure(request, failed) : detail_failure(failed);
}

std::optional<ApiResponse> refuse_principal(std::optional<identity::Principal> const& principal) {
  if (!principal) return refusal(401, "Authentication required");
  if (principal->role != identity::Role::automation) return std::nullopt;
  return refusal(403, "This API key is for the automation API only");
}

std::vector<std::string> texts_in(std::string_view query, std::string_view name, std::size_t count_max) {
  std::vector<std::string> out;
  while (!query.empty() && out.size() <= count_max) {
    auto const end = std::min(query.find('&'), query.size());
    auto const parameter = query.substr(0, end);
    if (http::query_value(parameter, name).found) out.push_back(text_in(parameter, name));
    query.remove_prefix(std::min(end + 1, query.size()));
  }
  return out;
}

}  // namespace nestgate::api
