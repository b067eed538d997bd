#pragma once

#include <set>
#include <string>
#include <utility>

namespace nestgate::runtime {

// One start for an id at a time: the id is in the set as long as this lives, and was not before.
class Turn {
 public:
  Turn(std::set<std::string>& all, std::string id) : all_(all), id_(std::move(id)) { all_.insert(id_); }
  Turn(Turn const&) = delete;
  Turn& operator=(Turn const&) = delete;
  ~Turn() { all_.erase(id_); }

 private:
  std::set<std::string>& all_;
  std::string id_;
};

}  // namespace nestgate::runtime
