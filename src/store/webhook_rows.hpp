#pragma once

#include "nestgate/store/automation_store.hpp"
#include "values.hpp"

namespace nestgate::store {

// The table of custom event sources. Each call within a transaction; everything may throw Unusable.
class WebhookRows {
 public:
  // It outlives this.
  explicit WebhookRows(Sealer const& sealer) : sealer_(sealer) {}

  Task<Outcome<>> add(Sql& sql, WebhookRow const& webhook) const;
  Task<std::optional<WebhookRow>> find(Sql& sql, std::string const& org_id, std::string const& id) const;
  Task<std::optional<WebhookRow>> find_source(Sql& sql, std::string const& org_id, std::string const& source) const;
  Task<RowPage<WebhookRow>> list(Sql& sql, std::string const& org_id, PageOf page) const;
  Task<Outcome<>> replace(Sql& sql, WebhookRow const& webhook) const;
  Task<> remove(Sql& sql, std::string const& org_id, std::string const& id) const;

 private:
  Values members_of(WebhookRow const& webhook) const;
  WebhookRow row_of(Rows& rows) const;

  Sealer const& sealer_;
};

}  // namespace nestgate::store
