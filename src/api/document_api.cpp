#include "document_api.hpp"

#include "answers.hpp"

namespace nestgate::api {
namespace {

using http::Method;
using proxy::ApiRequest;
using proxy::ApiResponse;

constexpr std::string_view path_of_it = "/openapi.json";

class DocumentApi final : public RouteFamily {
 public:
  bool covers(std::string_view path) const noexcept override { return path == path_of_it; }
  bool admits_without_api_key(Method method, std::string_view) const noexcept override { return method == Method::get; }

  Task<ApiResponse> handle(ApiRequest request) override {
    if (request.method != Method::get) co_return not_allowed(request, "GET, HEAD");
    co_return answer(200, std::string(openapi_document()));
  }

  std::vector<RouteName> routes() const override { return {{Method::get, path_of_it}}; }
};

}  // namespace

std::unique_ptr<RouteFamily> make_document_api() { return std::make_unique<DocumentApi>(); }

}  // namespace nestgate::api
