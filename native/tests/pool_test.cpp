// Tests of the thread pool by itself, without Python, for the thread sanitizer (see the target test-sanitize of the Makefile).
// Prints each test that fails; the exit status is the number of failures.
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <stdexcept>
#include <thread>
#include <vector>

#include "runtime/pool.hpp"

namespace {

using zeropoint::parallel_for;

// Returns whether one job runs each of `count` items exactly once. Items write plain integers, so the
// sanitizer also checks that what they write is visible to the caller.
bool runs_each_item_once(std::size_t count, int threads) {
    std::vector<int> calls(count, 0);
    parallel_for(count, threads, [&](std::size_t i) { ++calls[i]; });
    for (const int number : calls)
        if (number != 1) return false;
    return true;
}

bool jobs_of_every_size() {
    for (std::size_t count = 0; count < 300; ++count)
        for (const int threads : {1, 2, 3, 8})
            if (!runs_each_item_once(count, threads)) return false;
    return true;
}

// Short jobs one after the other: workers claim their slots late, early and not at all.
bool many_short_jobs() {
    for (int round = 0; round < 5000; ++round)
        if (!runs_each_item_once(4, 4)) return false;
    return true;
}

// Workers fall asleep between jobs and are woken again.
bool jobs_after_a_pause() {
    for (int round = 0; round < 50; ++round) {
        std::this_thread::sleep_for(std::chrono::microseconds(300));
        if (!runs_each_item_once(64, 4)) return false;
    }
    return true;
}

bool an_exception_reaches_the_caller() {
    for (int round = 0; round < 200; ++round) {
        try {
            parallel_for(100, 4, [](std::size_t i) {
                if (i % 7 == 3) throw std::runtime_error("item");
            });
            return false;
        } catch (const std::runtime_error&) {
        }
        if (!runs_each_item_once(10, 4)) return false;
    }
    return true;
}

bool a_job_within_a_job() {
    std::vector<int> sums(16, 0);
    parallel_for(16, 4, [&](std::size_t i) { parallel_for(16, 4, [&, i](std::size_t) { ++sums[i]; }); });
    for (const int sum : sums)
        if (sum != 16) return false;
    return true;
}

// Only one caller has the pool; the others run their items alone.
bool several_callers_at_once() {
    std::atomic<bool> right = true;
    std::vector<std::thread> callers;
    for (int caller = 0; caller < 3; ++caller)
        callers.emplace_back([&] {
            for (int round = 0; round < 500; ++round)
                if (!runs_each_item_once(20, 3)) right = false;
        });
    for (std::thread& caller : callers) caller.join();
    return right;
}

// A forked child has none of the parent's workers. ThreadSanitizer starts no threads after a fork.
bool a_forked_child_makes_a_pool_of_its_own() {
#if defined(__SANITIZE_THREAD__)
    return true;
#else
    const pid_t child = fork();
    if (child == 0) _exit(runs_each_item_once(100, 4) ? 0 : 1);
    int status = -1;
    waitpid(child, &status, 0);
    return status == 0 && runs_each_item_once(100, 4);
#endif
}

}  // namespace

int main() {
    int failures = 0;
    const auto check = [&](const char* name, bool passed) {
        if (!passed) std::printf("FAILED: %s\n", name), ++failures;
    };
    check("jobs of every size", jobs_of_every_size());
    check("many short jobs", many_short_jobs());
    check("jobs after a pause", jobs_after_a_pause());
    check("an exception reaches the caller", an_exception_reaches_the_caller());
    check("a job within a job", a_job_within_a_job());
    check("several callers at once", several_callers_at_once());
    check("a forked child makes a pool of its own", a_forked_child_makes_a_pool_of_its_own());
    if (failures == 0) std::printf("all tests of the pool passed\n");
    return failures;
}
