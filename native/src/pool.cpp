#include "zeropoint/pool.hpp"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace zeropoint {
namespace {

class Pool {
public:
    void run(std::size_t count, int threads, const std::function<void(std::size_t)>& task) {
        std::lock_guard one_at_a_time(run_mutex_);
        const std::size_t helpers = std::min<std::size_t>(std::max(threads, 1), count) - 1;
        {
            std::lock_guard lock(mutex_);
            while (workers_.size() < helpers) {
                const std::size_t index = workers_.size();
                // A new worker starts at the present generation: it must not take the last job for a new one.
                workers_.emplace_back([this, index, seen = generation_] { work(index, seen); });
            }
            task_ = &task;
            count_ = count;
            next_.store(0, std::memory_order_relaxed);
            wanted_ = helpers;
            running_ = helpers;
            error_ = nullptr;
            ++generation_;
        }
        if (helpers) wake_.notify_all();
        drain();
        std::unique_lock lock(mutex_);
        done_.wait(lock, [this] { return running_ == 0; });
        if (error_) std::rethrow_exception(error_);
    }

private:
    void work(std::size_t index, std::size_t seen) {
        for (;;) {
            {
                std::unique_lock lock(mutex_);
                wake_.wait(lock, [&] { return stop_ || generation_ != seen; });
                if (stop_) return;
                seen = generation_;
                if (index >= wanted_) continue;
            }
            drain();
            std::lock_guard lock(mutex_);
            if (--running_ == 0) done_.notify_one();
        }
    }

    void drain() {
        for (std::size_t i; (i = next_.fetch_add(1, std::memory_order_relaxed)) < count_;) {
            try {
                (*task_)(i);
            } catch (...) {
                std::lock_guard lock(mutex_);
                if (!error_) error_ = std::current_exception();
                next_.store(count_, std::memory_order_relaxed);
            }
        }
    }

    std::mutex run_mutex_, mutex_;
    std::condition_variable wake_, done_;
    std::vector<std::thread> workers_;
    const std::function<void(std::size_t)>* task_ = nullptr;
    std::atomic<std::size_t> next_{0};
    std::size_t count_ = 0, wanted_ = 0, running_ = 0, generation_ = 0;
    std::exception_ptr error_;
    bool stop_ = false;
};

}  // namespace

void parallel_for(std::size_t count, int threads, const std::function<void(std::size_t)>& task) {
    if (count == 0) return;
    if (count == 1 || threads <= 1) {
        for (std::size_t i = 0; i < count; ++i) task(i);
        return;
    }
    static Pool* const pool = new Pool;  // never destroyed: threads may not be joined at interpreter exit
    pool->run(count, threads, task);
}

}  // namespace zeropoint
