#include "endpoint.hpp"

#include "api/answers.hpp"

namespace nestgate::api {

proxy::ApiResponse unprocessable(Faults const& faults) { return answer(422, faults_json(faults)); }

proxy::ApiResponse no_content() { return answer(204, {}); }

proxy::ApiResponse redirect(unsigned status, std::string location) {
  auto response = answer(status, {});
  response.headers.emplace_back("Location", std::move(location));
  return response;
}

}  // namespace nestgate::api
