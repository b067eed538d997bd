#pragma once

#include <optional>
#include <vector>

#include "kv_document.hpp"
#include "model.hpp"

// Bodies and parameters of the key-value routes. Faults are noted; what is returned then is of no use. Pure.
namespace nestgate::api {

struct KvBatch {
  std::optional<std::int64_t> if_version;
  std::vector<KvOperation> operations;
};
KvBatch read_kv_batch(Faults& faults, JsonBody const& body);

// {"path","value"}
KvOperation read_kv_patch(Faults& faults, JsonBody const& body);
// {"by"}; none is 1.
std::int64_t read_kv_by(Faults& faults, JsonBody const& body);
// {"value"}
event::Value read_kv_pushed(Faults& faults, JsonBody const& body);
// The body is the value.
event::Value read_kv_value(Faults& faults, JsonBody const& body);

}  // namespace nestgate::api
