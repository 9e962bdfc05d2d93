// Workers join a job if they come in time; nobody waits for one that does not. So a thread that the
// system holds back costs its share of the work and not the whole step. Between jobs workers look for the
// next one for some tens of microseconds, which is how they lie within a model's step, then sleep.
#include "zeropoint/pool.hpp"

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

constexpr int most_workers = 254;
constexpr auto patience = std::chrono::microseconds(50);

void pause() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

// Waits until `done`, busily for `patience`; false: not yet.
template <typename Condition>
bool soon(const Condition& done) {
    const auto start = std::chrono::steady_clock::now();
    do {
        for (int i = 0; i < 32; ++i) {
            if (done()) return true;
            pause();
        }
    } while (std::chrono::steady_clock::now() - start < patience);
    return false;
}

class Pool {
public:
    void run(std::size_t count, int threads, const Task& task) {
        const int wanted = int(std::min<std::size_t>(std::min(threads - 1, most_workers), count - 1));
        while (workers_ < wanted && add_worker()) {
        }
        const int helpers = std::min(wanted, workers_);
        task_ = &task;
        count_ = count;
        error_ = nullptr;
        next_.store(0, std::memory_order_relaxed);
        const std::uint32_t serial = (state_.load() & serials) + one_serial;
        state_.store(serial | std::uint32_t(helpers) * one_seat);
        if (sleepers_.load() > 0) state_.notify_all();
        drain();
        // No seat for who comes now; then wait for those who sit.
        std::uint32_t state = state_.fetch_and(~seats) & ~seats;
        while (state & guests) {
            soon([&] { return ((state = state_.load()) & guests) == 0; });
            if (state & guests) state_.wait(state);
        }
        if (error_) std::rethrow_exception(error_);
    }

    bool try_enter() { return !busy_.test_and_set(std::memory_order_acquire); }
    void leave() { busy_.clear(std::memory_order_release); }

private:
    // state_: the job's serial number, seats still free, workers at it. One word, so that taking a seat
    // checks in the same instant that the job is still open.
    static constexpr std::uint32_t guests = 0xff, one_seat = 0x100, seats = 0xff00, one_serial = 0x10000,
                                   serials = 0xffff0000;

    // False: the system has no thread or no memory for its stack. The job then runs on those there are,
    // and the next job tries again.
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
            const auto take_seat = [&] {
                state = state_.load();
                return (state & seats) && state_.compare_exchange_strong(state, state - one_seat + 1);
            };
            if (!soon(take_seat)) {
                sleepers_.fetch_add(1);
                if (!(state & seats)) state_.wait(state);
                sleepers_.fetch_sub(1);
                continue;
            }
            drain();
            if (((state_.fetch_sub(1) - 1) & guests) == 0) state_.notify_all();
        }
    }

    void drain() {
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

// Never destroyed: its threads may outlive the interpreter. A forked child has none of them and makes a
// pool of its own.
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
