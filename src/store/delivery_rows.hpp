#pragma once

#include "automation_rows.hpp"

namespace nestgate::store {

// Completion endpoints, and the outbox of what is on its way to them. Each call within a transaction; everything may throw
// Unusable.
class DeliveryRows {
 public:
  // They outlive this.
  DeliveryRows(Sealer const& sealer, AutomationRows const& automations) : sealer_(sealer), automations_(automations) {}

  Task<Outcome<>> put_endpoint(Sql& sql, EndpointRow const& endpoint) const;
  Task<std::optional<EndpointRow>> find_endpoint(Sql& sql, std::string const& id) const;
  Task<RowPage<EndpointRow>> list_endpoints(Sql& sql, Tenant const& tenant, PageOf page) const;
  Task<> remove_endpoint(Sql& sql, std::string const& id) const;

  // The end of a run, for whoever wants to know.
  struct End {
    RunDecision const* decision;
    bool* told;  // set where somebody does
  };
  Task<> post(Sql& sql, std::vector<End> const& ends) const;

  Task<std::vector<AutomationStore::DueDelivery>> claim(Sql& sql, std::string const& gateway,
                                                        std::chrono::milliseconds lease, std::size_t limit) const;
  Task<std::uint64_t> free(Sql& sql, std::string const& gateway) const;
  Task<std::optional<Time>> next_at(Sql& sql) const;
  Task<std::uint64_t> record(Sql& sql, std::vector<AutomationStore::DeliveryResult> const& results) const;
  Task<RowPage<DeliveryRow>> list(Sql& sql, std::string const& run_id, PageOf page) const;
  Task<std::vector<DeliveryAttemptRow>> attempts(Sql& sql, std::string const& delivery_id) const;
  Task<Outcome<DeliveryRow>> resend(Sql& sql, std::string const& run_id, std::string const& delivery_id) const;

 private:
  Blob seal_secrets(EndpointRow const& endpoint) const;
  // One whose secrets cannot be opened may not be written again without them; it shall not stop what is due to others.
  enum class Unreadable : bool { is_a_fault, is_told };
  EndpointRow endpoint_of(Rows& rows, Unreadable unreadable = Unreadable::is_a_fault) const;
  DeliveryRow delivery_of(Rows& rows) const;
  // Of the ended runs' automations, by id; nothing: it cannot be opened.
  Task<std::map<std::string, std::optional<Secret>>> find_callbacks(Sql& sql, std::vector<End> const& ends) const;
  Values new_delivery(RunDecision const& end, std::string const& id, std::string const& endpoint_id,
                      std::string const& payload, Secret const& callback) const;

  Sealer const& sealer_;
  AutomationRows const& automations_;
};

}  // namespace nestgate::store
