// Work sharing without a start barrier: a worker that the operating system has descheduled claims no items,
// so one late thread cannot stall the step. Idle workers spin for `spin_time`, which bridges the gaps
// between the products of one step of a model, and then sleep.
#include "runtime/pool.hpp"

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>

namespace zeropoint {
namespace {

constexpr int max_workers = 254;
constexpr auto spin_time = std::chrono::microseconds(50);

void pause() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

// Spins until `done` returns true, for at most `spin_time`. Returns the last value of `done`.
template <typename Condition>
bool spin_until(const Condition& done) {
    const auto start = std::chrono::steady_clock::now();
    do {
        for (int i = 0; i < 32; ++i) {
            if (done()) return true;
            pause();
        }
    } while (std::chrono::steady_clock::now() - start < spin_time);
    return false;
}

class Pool {
public:
    void run(std::size_t count, int threads, const Task& task) {
        const int wanted = int(std::min<std::size_t>(std::min(threads - 1, max_workers), count - 1));
        while (workers_ < wanted && add_worker()) {
        }
        const int helpers = std::min(wanted, workers_);
        task_ = &task;
        count_ = count;
        error_ = nullptr;
        next_.store(0, std::memory_order_relaxed);
        const std::uint32_t serial = (state_.load() & serials) + one_serial;
        state_.store(serial | std::uint32_t(helpers) * one_slot);
        if (sleepers_.load() > 0) state_.notify_all();
        run_items();
        // Close the slots that no worker has claimed, then wait for the workers that have claimed one.
        std::uint32_t state = state_.fetch_and(~free_slots) & ~free_slots;
        while (state & active_workers) {
            spin_until([&] { return ((state = state_.load()) & active_workers) == 0; });
            if (state & active_workers) state_.wait(state);
        }
        if (error_) std::rethrow_exception(error_);
    }

    bool try_enter() { return !busy_.test_and_set(std::memory_order_acquire); }
    void leave() { busy_.clear(std::memory_order_release); }

private:
    // The fields of state_: workers at the job, worker slots still free, and the job's serial number. They
    // are one word so that claiming a slot also checks, in the same instant, that the job is still open.
    static constexpr std::uint32_t active_workers = 0xff, one_slot = 0x100, free_slots = 0xff00,
                                   one_serial = 0x10000, serials = 0xffff0000;

    // Returns false if the operating system has no thread or no memory for its stack. The job then runs on
    // the workers that exist, and the next job tries again.
    bool add_worker() {
        try {
            std::thread([this] { work(); }).detach();
        } catch (const std::system_error&) {
            return false;
        }
        ++workers_;
        return true;
    }

    void work() {
        for (;;) {
            std::uint32_t state = state_.load();
            const auto claim_slot = [&] {
                state = state_.load();
                return (state & free_slots) && state_.compare_exchange_strong(state, state - one_slot + 1);
            };
            if (!spin_until(claim_slot)) {
                sleepers_.fetch_add(1);
                if (!(state & free_slots)) state_.wait(state);
                sleepers_.fetch_sub(1);
                continue;
            }
            run_items();
            if (((state_.fetch_sub(1) - 1) & active_workers) == 0) state_.notify_all();
        }
    }

    // Claims one item after the other and runs it, until none is left.
    void run_items() {
        for (std::size_t i; (i = next_.fetch_add(1, std::memory_order_relaxed)) < count_;) {
            try {
                (*task_)(i);
            } catch (...) {
                std::lock_guard lock(error_mutex_);
                if (!error_) error_ = std::current_exception();
                next_.store(count_, std::memory_order_relaxed);
            }
        }
    }

    std::atomic_flag busy_;
    std::atomic<std::uint32_t> state_{0};
    std::atomic<int> sleepers_{0};
    std::atomic<std::size_t> next_{0};
    const Task* task_ = nullptr;
    std::size_t count_ = 0;
    int workers_ = 0;
    std::mutex error_mutex_;
    std::exception_ptr error_;
};

// Never destroyed, because its threads may outlive the interpreter. A forked child has none of the threads,
// so it creates its own pool.
std::atomic<Pool*> the_pool{nullptr};

Pool& pool() {
    static std::once_flag once;
    std::call_once(once, [] {
        the_pool.store(new Pool);
        pthread_atfork(nullptr, nullptr, [] { the_pool.store(new Pool); });
    });
    return *the_pool.load();
}

}  // namespace

void parallel_for(std::size_t count, int threads, Task task) {
    if (count == 0) return;
    Pool* const shared = count > 1 && threads > 1 ? &pool() : nullptr;
    if (!shared || !shared->try_enter()) {
        for (std::size_t i = 0; i < count; ++i) task(i);
        return;
    }
    struct Leave {
        Pool* pool;
        ~Leave() { pool->leave(); }
    } leave{shared};
    shared->run(count, threads, task);
}

}  // namespace zeropoint
