#include "socket_io_sessions.hpp"

#include <boost/multi_index/hashed_index.hpp>
#include <boost/multi_index/member.hpp>
#include <boost/multi_index/sequenced_index.hpp>
#include <boost/multi_index_container.hpp>
#include <functional>

namespace nestgate::proxy {
namespace {

namespace mi = boost::multi_index;

struct Session {
  std::string sid;
  std::string runtime;  // canonical id
};
using Hash = std::hash<std::string_view>;  // look-ups make no string
struct ByAge {};
struct BySid {};
struct ByRuntime {};

using InOrder = mi::sequenced<mi::tag<ByAge>>;
using OfSid = mi::hashed_unique<mi::tag<BySid>, mi::member<Session, std::string, &Session::sid>, Hash>;
using OfRuntime = mi::hashed_non_unique<mi::tag<ByRuntime>, mi::member<Session, std::string, &Session::runtime>, Hash>;

}  // namespace

struct SocketIoSessions::Table : mi::multi_index_container<Session, mi::indexed_by<InOrder, OfSid, OfRuntime>> {};

SocketIoSessions::SocketIoSessions() : table_(std::make_unique<Table>()) {}
SocketIoSessions::~SocketIoSessions() = default;

void SocketIoSessions::learn(std::string sid, ConversationId const& runtime, std::size_t sessions_max) {
  table_->get<BySid>().erase(sid);
  auto& by_age = table_->get<ByAge>();
  while (!by_age.empty() && by_age.size() >= sessions_max) by_age.pop_front();
  by_age.push_back({std::move(sid), runtime.canonical()});
}

std::string_view SocketIoSessions::find(std::string_view sid) const noexcept {
  auto const& by_sid = table_->get<BySid>();
  auto const at = by_sid.find(sid, Hash{}, std::equal_to<>{});
  return at == by_sid.end() ? std::string_view{} : std::string_view(at->runtime);
}

void SocketIoSessions::forget(ConversationId const& runtime) { table_->get<ByRuntime>().erase(runtime.canonical()); }

std::size_t SocketIoSessions::size() const noexcept { return table_->size(); }

}  // namespace nestgate::proxy
