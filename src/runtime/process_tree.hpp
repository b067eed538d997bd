#pragma once

#include <sys/types.h>

#include <vector>

#include "nestgate/runtime/provider.hpp"

namespace nestgate::runtime {

// What all processes below these use, by /proc: CPU time also of children that have ended, memory as it is resident, what
// several share counted for each. Nothing where the kernel does not say who descends from whom. Of more than 4096 processes
// only so many count. Blocks, some 50 us a process.
Usage usage_below(std::vector<pid_t> const& roots);

}  // namespace nestgate::runtime
