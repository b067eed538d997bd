#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "messages.hpp"
#include "nestgate/runtime/docker_settings.hpp"
#include "nestgate/runtime/provider.hpp"

// How a runtime is a container: names, labels, what is asked for, and how its server is reached. Pure.
namespace nestgate::runtime::docker {

inline constexpr std::string_view installation_label = "nestgate.installation";
inline constexpr std::string_view conversation_label = "nestgate.conversation";
inline constexpr std::string_view owner_label = "nestgate.owner";
inline constexpr std::string_view epoch_label = "nestgate.epoch";
// Which start made it: a start that fails takes away what it made, and nothing else.
inline constexpr std::string_view start_label = "nestgate.start";

std::string container_name(DockerSettings const& settings, ConversationId const& id);
// Of a container of ours: by its name, since labels stay what they were when it is given another id.
std::optional<ConversationId> id_of(DockerSettings const& settings, Container const& container);
// Whether its labels were written for this id, not for the one that it had before.
bool is_labelled_for(Container const& container, ConversationId const& id);

bool is_ours(DockerSettings const& settings, Container const& container);
bool is_of_another_installation(DockerSettings const& settings, Container const& container);

// The volumes that are the conversation's own.
std::vector<std::string> own_volumes(DockerSettings const& settings, ConversationId const& id);
std::vector<std::pair<std::string, std::string>> labels_for(DockerSettings const& settings, Spec const& spec,
                                                            std::string const& start);
// The image that the wish or the settings name; empty: neither does.
std::string const& image_for(DockerSettings const& settings, Wish const& wish);
NewContainer plan(DockerSettings const& settings, Spec const& spec, std::string const& start);

// A container that was created and is started by nobody here is what a start left that was cut off: stopped.
Presence presence_of(State state);
// Whether there are processes in it.
bool is_up(State state);

// Where the server in a running container is reached; `engine_host` stands for the engine's machine. Nothing: it offers no
// way.
std::optional<asio::ip::tcp::endpoint> server_endpoint(DockerSettings const& settings, Container const& container,
                                                       asio::ip::address const& engine_host);
// Those of the further ports that it offers.
std::vector<Port> further_ports(DockerSettings const& settings, Container const& container,
                                asio::ip::address const& engine_host);
// The key that its server demands after a start; nothing where its environment has none.
Secret const* key_of(Container const& container);
// What its server is told its key with after a start, of one that was made dormant and has another id's name since; nothing
// for all others.
Secret const* boot_key_of(DockerSettings const& settings, Container const& container);

// "exited with status 3: last words", without the container's keys.
std::string end_reason(Container const& container, std::string_view log);

}  // namespace nestgate::runtime::docker
