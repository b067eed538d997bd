#include "tarballs.hpp"

namespace nestgate::automation {

Task<Outcome<std::shared_ptr<std::string const>>> Tarballs::bytes_of(std::string upload_id) {
  if (auto const found = by_id_.find(upload_id); found != by_id_.end()) {
    kept_.splice(kept_.begin(), kept_, found->second);
    co_return kept_.front().bytes;
  }
  NESTGATE_CO_TRY(read, co_await rows_.upload_bytes(upload_id));
  if (!read) co_return std::shared_ptr<std::string const>();
  auto bytes = std::make_shared<std::string const>(std::move(*read));
  keep(std::move(upload_id), bytes);
  co_return std::move(bytes);
}

void Tarballs::keep(std::string id, std::shared_ptr<std::string const> bytes) {
  if (bytes->size() > bytes_max_ || by_id_.contains(id)) return;
  bytes_ += bytes->size();
  kept_.push_front({id, std::move(bytes)});
  by_id_.emplace(std::move(id), kept_.begin());
  while (bytes_ > bytes_max_) {
    bytes_ -= kept_.back().bytes->size();
    by_id_.erase(kept_.back().id);
    kept_.pop_back();
  }
}

}  // namespace nestgate::automation
