#pragma once

#include "nestgate/net/interruptible.hpp"
