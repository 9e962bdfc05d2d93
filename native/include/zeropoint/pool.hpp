// One pool of threads for the whole extension.
#pragma once
#include <cstddef>
#include <functional>

namespace zeropoint {

// Calls task(i) for each i in [0, count) on up to `threads` threads, the calling one among them, and
// returns when all are done. Which thread runs which task is not defined, so a task must write only what
// belongs to it. An exception of a task is rethrown here. Not reentrant: tasks must not call it.
void parallel_for(std::size_t count, int threads, const std::function<void(std::size_t)>& task);

}  // namespace zeropoint
