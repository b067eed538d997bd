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

// The folders of conversations in one directory: `{id}/owner`, `{id}/workspace/`, `{id}/output.log`; and `~{id}`, which is
// being removed. A folder that got another id while its server ran has an alias: a link of its earlier name to it. That is
// nobody's folder, and no call follows it. All calls block.
class RuntimeFiles {
 public:
  explicit RuntimeFiles(std::filesystem::path const& directory);

  std::filesystem::path folder(ConversationId const& id) const { return directory_ / id.canonical(); }
  std::filesystem::path trash(ConversationId const& id) const;
  std::filesystem::path const& directory() const noexcept { return directory_; }

  // Makes the folder and the workspace, or finds them; whether it found them. Files that were kept go to their owner alone:
  // a gateway that was started anew knows conversations by nothing else. Faults, which leave it as it was: conflict,
  // unavailable.
  Outcome<bool> claim(Spec const& spec) const;
  // Takes back what a claim made that found nothing, before anything ran there. What is there besides stays.
  void unclaim(ConversationId const& id) const;
  // Gives the folder to another id and owner, and leaves an alias. Faults: conflict (that id has files), unavailable; then
  // it is as it was.
  Outcome<> reassign(ConversationId const& from, ConversationId const& to, std::string const& owner) const;
  // An id that has none, or a folder, is left as it is.
  void remove_alias(ConversationId const& id) const;
  // Whose the files are. Nothing: there are none, or they are left from a removal.
  std::optional<std::string> owner(ConversationId const& id) const;
  bool exists(ConversationId const& id) const;

  struct Kept {
    ConversationId id;
    std::optional<std::string> owner;  // nothing: left from a removal that failed
  };
  std::vector<Kept> list() const;
  // What a gateway that ended too early left: its aliases, which is soon done and must be before any is made, and what it
  // was removing. The latter ends early once `stop` is set.
  void remove_old_aliases() const;
  void remove_old_trash(std::atomic<bool> const& stop) const;

 private:
  std::filesystem::path directory_;
};

}  // namespace nestgate::runtime
