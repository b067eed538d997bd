#pragma once

#include "app/operator_runs.hpp"
#include "app/usage_meter.hpp"
#include "nestgate/app/admin.hpp"
#include "nestgate/conversation/manager.hpp"

namespace nestgate::app {

// What operators see and do at the admin address, below /api/: conversations and runs of all owners, without their
// keys. On the control core. What is given outlives it.
class OperatorApi {
 public:
  OperatorApi(conversation::Manager& manager, conversation::DirectoryPublisher& publisher, automation::Service& automation)
      : manager_(manager), publisher_(publisher), meter_(manager), runs_(automation) {}

  Task<AdminAnswer> handle(AdminRequest request);

 private:
  Task<AdminAnswer> list(AdminRequest request);
  Task<AdminAnswer> show(AdminRequest request, ConversationId id);
  Task<AdminAnswer> show_log(AdminRequest request, ConversationId id);
  Task<AdminAnswer> stop(AdminRequest request, ConversationId id);
  Task<AdminAnswer> top();

  conversation::Manager& manager_;
  conversation::DirectoryPublisher& publisher_;
  UsageMeter meter_;
  OperatorRuns runs_;
};

}  // namespace nestgate::app
