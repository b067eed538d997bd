#pragma once

#include <string>
#include <unordered_map>

#include "nestgate/conversation/directory.hpp"

namespace nestgate::api {

// How many streams each conversation has, asked of the cores at most once a second: clients poll, and each answer costs
// every core a look at all that it knows. On the control core.
class OpenStreams {
 public:
  using Counts = std::unordered_map<std::string, std::uint32_t>;  // by canonical id

  // `publisher` outlives it.
  explicit OpenStreams(conversation::DirectoryPublisher& publisher) : publisher_(publisher) {}
  // Good until the next call.
  Task<Counts const*> counts();

 private:
  conversation::DirectoryPublisher& publisher_;
  Counts counts_;
  Clock::time_point asked_at_{};
};

}  // namespace nestgate::api
