#pragma once

#include <boost/system/result.hpp>
#include <chrono>
#include <string>

#include "nestgate/base/secret.hpp"

namespace nestgate::api {

// What a run's token for the key-value store says: whose document it opens.
struct KvToken {
  std::string automation_id;
};

// Why a token opens nothing.
struct KvTokenFault {
  bool is_token = true;  // false: it may be a key of another kind
  std::string detail;
};
[[noreturn]] void throw_exception_from_error(KvTokenFault const& fault, boost::source_location const& at);

// Of a token (identity/jwt.hpp) with the claims automation_id, exp and, where there is one, iat. Pure.
boost::system::result<KvToken, KvTokenFault> read_kv_token(Secret const& key, Secret const& token,
                                                           std::chrono::system_clock::time_point now);

}  // namespace nestgate::api
