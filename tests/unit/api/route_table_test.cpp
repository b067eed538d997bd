#include "api/route_table.hpp"

#include <gtest/gtest.h>

namespace nestgate::api {
namespace {

using http::Method;
using Taken = std::vector<std::string>;

TEST(MatchPattern, TakesWhatStandsForTheBraces) {
  EXPECT_EQ(match_pattern("/api/x", "/api/x"), Taken{});
  EXPECT_EQ(match_pattern("/api/x/{id}", "/api/x/c1"), Taken{"c1"});
  EXPECT_EQ(match_pattern("/api/{a}/y/{b}", "/api/1/y/2"), (Taken{"1", "2"}));
  EXPECT_EQ(match_pattern("/api/x/{id}", "/api/x/a%2Fb"), Taken{"a%2Fb"}) << "decoding is for whoever takes it";
  EXPECT_EQ(match_pattern("/api/x", "/api/x/"), Taken{});
}

TEST(MatchPattern, RefusesWhatIsShorterLongerOrEmpty) {
  for (auto const* path : {"", "/", "/api", "/api/x", "/api/x/", "/api/x//", "/api/x/a/b", "/api/y/a", "api/x/a"})
    EXPECT_FALSE(match_pattern("/api/x/{id}", path)) << path;
}

TEST(FindRoute, NamesTheMethodsOfAPathThatHasAnother) {
  static constexpr Route<int> table[] = {
      {Method::get, "/x", 1}, {Method::post, "/x", 2}, {Method::get, "/x/{id}", 3}, {Method::delete_, "/x/{id}", 4}};
  std::span<Route<int> const> const all = table;
  EXPECT_EQ(find_route(all, Method::post, "/x").route->handler, 2);
  auto const one = find_route(all, Method::delete_, "/x/c1");
  EXPECT_EQ(one.route->handler, 4);
  EXPECT_EQ(one.taken, Taken{"c1"});
  auto const other = find_route(all, Method::put, "/x/c1");
  EXPECT_EQ(other.route, nullptr);
  EXPECT_EQ(other.allow, "GET, HEAD, DELETE");
  auto const unknown = find_route(all, Method::get, "/y");
  EXPECT_EQ(unknown.route, nullptr);
  EXPECT_EQ(unknown.allow, "");
}

}  // namespace
}  // namespace nestgate::api
