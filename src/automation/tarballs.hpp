#pragma once

#include <list>
#include <map>
#include <memory>
#include <string>

#include "nestgate/net/task_group.hpp"
#include "nestgate/store/automation_store.hpp"

namespace nestgate::automation {

using upstream::Outcome;

// The bytes of uploads, which never change: read once, the newest kept. What is kept and what is on its way to runtimes are
// `bytes_max` together; beyond it the next is read when others have got there (a few at once may go beyond). Lives on the
// control core.
class Tarballs {
 public:
  using Bytes = std::shared_ptr<std::string const>;
  // `rows` outlives it.
  Tarballs(Executor control, store::AutomationStore& rows, std::uint64_t bytes_max);
  // nullptr: there are none. They are on their way as long as the pointer lives. Faults: those of the store, cancelled.
  Task<Outcome<Bytes>> bytes_of(std::string upload_id);

 private:
  struct Kept {
    std::string id;
    Bytes bytes;
  };
  // Of all that live.
  struct Held {
    explicit Held(Executor control) : changed(control, Clock::time_point::max()) {}
    std::uint64_t bytes = 0;
    Timer changed;  // cancelled when less are used, or read
  };
  Bytes find(std::string_view id);
  bool may_read();
  void keep(std::string id, Bytes bytes);
  template <class Holds>
  void drop_unused_while(Holds holds);
  Bytes counted(std::string bytes) const;
  Bytes in_use(Bytes bytes) const;

  store::AutomationStore& rows_;
  std::uint64_t bytes_max_;
  std::shared_ptr<Held> held_;
  std::size_t reading_ = 0;
  std::list<Kept> kept_;  // the one that was used last is first
  std::map<std::string, std::list<Kept>::iterator, std::less<>> by_id_;
};

}  // namespace nestgate::automation
