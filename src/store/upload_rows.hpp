#pragma once

#include "nestgate/store/automation_store.hpp"
#include "values.hpp"

namespace nestgate::store {

// The tables of uploads and of their bytes. Each call within a transaction; everything may throw Unusable.
class UploadRows {
 public:
  Task<> add(Sql& sql, UploadRow const& upload, std::string const& bytes) const;
  Task<std::optional<UploadRow>> find(Sql& sql, std::string const& id) const;
  Task<std::optional<std::string>> bytes(Sql& sql, std::string const& id) const;
  Task<RowPage<UploadRow>> list(Sql& sql, Tenant const& tenant, std::string const& status, PageOf page) const;
  Task<> remove(Sql& sql, std::string const& id) const;
  // Those that were deleted before.
  Task<std::uint64_t> purge(Sql& sql, Time before, std::size_t limit) const;
};

}  // namespace nestgate::store
