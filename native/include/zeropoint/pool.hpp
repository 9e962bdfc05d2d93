// One pool of threads for the whole extension.
#pragma once
#include <cstddef>
#include <memory>
#include <type_traits>

namespace zeropoint {

// A callable that somebody else keeps alive, without std::function's allocation: some products take
// a few microseconds.
class Task {
public:
    template <typename Callable>
        requires(!std::is_same_v<std::remove_cvref_t<Callable>, Task>)
    Task(Callable&& callable)  // implicit: lambdas are written where a Task is wanted
        : callable_(const_cast<void*>(static_cast<const void*>(std::addressof(callable)))),
          call_([](void* body, std::size_t i) {
              (*static_cast<std::remove_reference_t<Callable>*>(body))(i);
          }) {}
    void operator()(std::size_t i) const { call_(callable_, i); }

private:
    void* callable_;
    void (*call_)(void*, std::size_t);
};

// Calls task(i) for each i in [0, count) on up to `threads` threads, the calling one among them, and
// returns when all are done. Which thread runs which task is not defined, so a task must write only what
// belongs to it. An exception of a task is rethrown here. Where the pool is at work already (for another
// thread, or because a task calls this) the calling thread does all of it alone.
void parallel_for(std::size_t count, int threads, Task task);

}  // namespace zeropoint
