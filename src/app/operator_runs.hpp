#pragma once

#include "nestgate/app/admin.hpp"
#include "nestgate/automation/service.hpp"

namespace nestgate::app {

// What operators see of runs at the admin address: those of all owners, without the secrets they were given. On the control
// core. What is given outlives it.
class OperatorRuns {
 public:
  explicit OperatorRuns(automation::Service& automation) : automation_(automation) {}

  // Whether a path is one of its own.
  static bool is_of(std::string_view path);
  Task<AdminAnswer> handle(AdminRequest request);

 private:
  Task<AdminAnswer> list(AdminRequest request);
  Task<AdminAnswer> show(std::string id);
  Task<AdminAnswer> follow(std::string id);

  automation::Service& automation_;
};

}  // namespace nestgate::app
