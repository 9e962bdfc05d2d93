// One pool of threads for the whole extension.
#pragma once
#include <cstddef>
#include <memory>
#include <type_traits>

namespace zeropoint {

// A reference to a callable that the caller keeps alive. It allocates nothing, unlike std::function: some
// products take only a few microseconds.
class Task {
public:
    template <typename Callable>
        requires(!std::is_same_v<std::remove_cvref_t<Callable>, Task>)
    Task(Callable&& callable)  // implicit, so that a lambda can be passed as a Task
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
// returns when all calls have returned. Which thread runs which item is not defined, so an item must write
// only what belongs to it. An exception of an item is rethrown here. If the pool is busy (for another
// thread, or because an item calls this function), the calling thread runs all items alone.
void parallel_for(std::size_t count, int threads, Task task);

}  // namespace zeropoint
