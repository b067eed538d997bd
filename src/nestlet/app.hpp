#pragma once

#include <boost/json.hpp>
#include <string>

#include "nestlet/commands.hpp"
#include "nestlet/conversation.hpp"
#include "nestlet/init.hpp"
#include "nestlet/net.hpp"
#include "nestlet/session_keys.hpp"
#include "nestlet/settings.hpp"
#include "nestlet/turnstile.hpp"
#include "nestlet/vault.hpp"
#include "nestlet/webhooks.hpp"

namespace nestgate::nestlet {

// Everything the one thread of the server touches while serving. Handlers get it by reference; it outlives them.
struct App {
  App(Executor on, Settings configured, SessionKeys accepted, Boot boot, std::vector<std::string> environment,
      ProcessGroups& groups)
      : executor(on),
        settings(std::move(configured)),
        keys(std::move(accepted)),
        init_state(boot.state),
        init_key(std::move(boot.init_key)),
        webhooks(on),
        conversations(on, settings.limits, webhooks),
        commands(on, settings.limits, settings.workspace, std::move(environment), groups),
        actions(on) {
    webhooks.begin(std::move(boot.webhooks), keys.first());
  }

  Executor executor;
  Settings settings;
  SessionKeys keys;
  InitState init_state;  // dormant: only the open routes answer
  Secret init_key;       // what POST /api/init has to show; empty: nothing
  Clock::time_point started = Clock::now();
  Clock::time_point last_activity = started;  // /server_info's idle_time (agent_server.md 1.1)
  bool stopping = false;                      // answers close their connections
  Feed sockets;                               // every websocket, to say goodbye
  Webhooks webhooks;
  Conversations conversations;
  Vault vault;
  Commands commands;
  Turnstile actions;  // the action server runs one action at a time (nested_server.md 5.3)

  void touch() { last_activity = Clock::now(); }
};

}  // namespace nestgate::nestlet
