#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nestgate/nested/client.hpp"
#include "nestgate/nested/configuration.hpp"

// Bodies that nested servers take and give, without I/O.
namespace nestgate::nested {

// {"provider_tokens":{"github":{"token":"…","user_id":null,"host":null}}}
Secret git_providers_body(std::vector<GitToken> const& tokens);
// {"name":…,"value":…,"description":…}
Secret secret_body(std::string_view name, Secret const& value, std::string_view description);
// {"session_api_keys":[…],"secret_key":…,…}: what is empty is left out. The secret key is the session key, as of a server
// that is started with that key alone.
Secret init_body(Initialisation const& told);
// "conversation_id":"…", for the end of an object.
std::string conversation_id_member(std::string_view id);
// What stands between the braces of a JSON object; of no text, nothing of it. Nothing for anything else.
std::optional<std::string_view> members_of(std::string_view object);
// {"command":…,"timeout":…}
std::string command_body(std::string_view command, std::chrono::seconds time_max);
// What stands before and behind the bytes of one part, field "file", as the agent server's upload takes it. `boundary`
// must not occur in the bytes.
std::string file_part_start(std::string_view boundary);
std::string file_part_end(std::string_view boundary);

// Whether the answer of a server that is there says that it is not ready yet: {"status":"not initialized"}
// (nested_server.md 5.3). One that says nothing of the kind is ready.
bool says_not_ready(std::string_view alive_answer);
// Whether a 400 says that the secret exists already.
bool says_already_exists(std::string_view answer);
// Why a server refused what it was told, in its own words: `detail`, `message` or `error`, of a list of faults the place
// and the message of each. At most 512 bytes, printable; values of `told`, a JSON text, that it repeats are masked if they
// are long enough to be a key. Empty: it did not say.
std::string excerpt_of_refusal(std::string_view answer, Secret const& told);
bool is_null(std::string_view answer);
std::optional<InitState> parse_init_state(std::string_view answer);
// ConversationInfo, or the first of a list of them; null is a conversation that is not known. Nothing for an answer of
// another shape.
std::optional<Status> parse_status(std::string_view answer, Dialect dialect);
// `idle_time` of /server_info, whole seconds.
std::optional<std::chrono::seconds> parse_idle_time(std::string_view answer);
// Whether /server_info has `resources`.
bool tells_resources(std::string_view answer);
// The member `id` of an object.
std::optional<std::string> parse_id(std::string_view answer);
// One BashOutput.
std::optional<CommandOutput> parse_output(std::string_view answer);
// {"items":[BashCommand…],"next_page_id":…}; an empty id: the last page. Nothing for an answer of another shape.
struct CommandPage {
  std::vector<StartedCommand> items;
  std::string next_page_id;
};
std::optional<CommandPage> parse_commands(std::string_view answer);
// {"items":[BashOutput…],"next_page_id":…}. Nothing for an answer of another shape.
std::optional<OutputPage> parse_outputs(std::string_view answer);
// Puts the ends of outputs, newest first, before what is there, up to so many bytes of each stream.
void put_before(OutputTail& tail, OutputPage const& page, std::size_t bytes);
// The first of {"items":[BashOutput…]}: outer nothing for an answer of another shape, inner nothing for no items.
std::optional<std::optional<CommandOutput>> parse_newest_output(std::string_view answer);

}  // namespace nestgate::nested
