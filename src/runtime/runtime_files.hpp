#pragma once

#include <atomic>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "nestgate/base/conversation_id.hpp"
#include "nestgate/base/strong.hpp"
#include "nestgate/runtime/provider.hpp"

namespace nestgate::runtime {

// The folders of conversations in one directory: `{id}/owner`, `{id}/workspace/`, `{id}/output.log`; `~{id}`, which is
// being removed; and `+{id}.{epoch}`, a link to the folder of a runtime that may get another id, and sees its own files by
// it. All calls block.
class RuntimeFiles {
 public:
  explicit RuntimeFiles(std::filesystem::path const& directory);

  std::filesystem::path folder(ConversationId const& id) const { return directory_ / id.canonical(); }
  std::filesystem::path trash(ConversationId const& id) const;
  std::filesystem::path link(ConversationId const& id, Epoch epoch) const;
  std::filesystem::path const& directory() const noexcept { return directory_; }

  // Makes the folder and the workspace, or finds them; whether it found them. Files that were kept go to their owner alone:
  // a gateway that was started anew knows conversations by nothing else. Faults, which leave it as it was: conflict,
  // unavailable.
  Outcome<bool> claim(Spec const& spec) const;
  // Takes back what a claim made that found nothing, before anything ran there. What is there besides stays.
  void unclaim(ConversationId const& id) const;
  // Points the link at that folder, in one step where it pointed elsewhere. Fault: unavailable.
  Outcome<> point(std::filesystem::path const& link, ConversationId const& id) const;
  // Gives the folder to another id and owner. Faults: conflict (that id has files), unavailable; then it is as it was.
  Outcome<> reassign(ConversationId const& from, ConversationId const& to, std::string const& owner) const;
  // Whose the files are. Nothing: there are none, or they are left from a removal.
  std::optional<std::string> owner(ConversationId const& id) const;
  bool exists(ConversationId const& id) const;

  struct Kept {
    ConversationId id;
    std::optional<std::string> owner;  // nothing: left from a removal that failed
  };
  std::vector<Kept> list() const;
  // What a gateway that ended too early left: its links, which is soon done and must be before any is made, and what it was
  // removing. The latter ends early once `stop` is set.
  void remove_old_links() const;
  void remove_old_trash(std::atomic<bool> const& stop) const;

 private:
  std::filesystem::path directory_;
};

}  // namespace nestgate::runtime
