#pragma once

#include <list>
#include <map>
#include <memory>
#include <string>

#include "nestgate/store/automation_store.hpp"

namespace nestgate::automation {

using upstream::Outcome;

// The bytes of uploads, which never change: read once, the newest kept within `bytes_max`. Lives on the control core.
class Tarballs {
 public:
  // `rows` outlives it.
  Tarballs(store::AutomationStore& rows, std::uint64_t bytes_max) : rows_(rows), bytes_max_(bytes_max) {}
  // nullptr: there are none. Faults: those of the store.
  Task<Outcome<std::shared_ptr<std::string const>>> bytes_of(std::string upload_id);

 private:
  struct Kept {
    std::string id;
    std::shared_ptr<std::string const> bytes;
  };
  void keep(std::string id, std::shared_ptr<std::string const> bytes);

  store::AutomationStore& rows_;
  std::uint64_t bytes_max_;
  std::uint64_t bytes_ = 0;
  std::list<Kept> kept_;  // the one that was used last is first
  std::map<std::string, std::list<Kept>::iterator, std::less<>> by_id_;
};

}  // namespace nestgate::automation
