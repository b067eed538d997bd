#pragma once

#include "nestlet/app.hpp"
#include "nestlet/request.hpp"

namespace nestgate::nestlet {

// Serves a request that asked for a websocket, from the handshake to the end (agent_server.md 2). Nothing more can be said
// on the stream afterwards.
Task<> serve_web_socket(App& app, Stream& stream, RequestParser& parser, Request const& request);

}  // namespace nestgate::nestlet
