#pragma once

#include <sys/types.h>

// The processes below this one, found in /proc without a heap. For a program of one thread.

// Calls `act` for each number in a file (a list of process ids) and adds up what it returns.
int for_each_in_list(int folder, char const* name, int (*act)(pid_t));

// Sends SIGSTOP to each descendant that does not stand yet; how many those were. What forks meanwhile is found by the next
// call, so that 0 says that all stand.
int stop_descendants();
// SIGCONT to each descendant.
void continue_descendants();
