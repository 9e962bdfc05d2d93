// Bindings of the machine's peaks and of the scans of tensors.
#include <nanobind/stl/optional.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <optional>

#include "bindings/bindings.hpp"
#include "runtime/machine.hpp"
#include "runtime/pool.hpp"
#include "reductions/scan.hpp"

namespace nb = nanobind;
using namespace zeropoint;

namespace {

Probes active_probes() { return ZEROPOINT_PICK(probes)(); }

double seconds_of(const auto& work) {
    const auto start = std::chrono::steady_clock::now();
    work();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

std::atomic<std::uint64_t> sink;  // keeps the compiler from dropping work whose result is unused

double read_seconds(Array<const std::uint64_t, 1> words, int threads) {
    const Probes probes = active_probes();
    const std::uint64_t* data = words.data();
    const std::size_t count = words.shape(0);
    nb::gil_scoped_release release;
    constexpr std::size_t piece = 1 << 17;  // 1 MiB: small enough that no thread waits long for the last
    return seconds_of([&] {
        parallel_for((count + piece - 1) / piece, threads, [&](std::size_t i) {
            sink += probes.read(data + i * piece, std::min(piece, count - i * piece));
        });
    });
}

double multiply_adds_per_second(double seconds, int threads) {
    const Probes probes = active_probes();
    nb::gil_scoped_release release;
    const auto run = [&](std::size_t rounds) {
        std::atomic<std::uint64_t> flops{0};
        const double elapsed = seconds_of([&] {
            parallel_for(std::size_t(std::max(threads, 1)), threads, [&](std::size_t) {
                std::uint64_t done = 0;
                sink += std::uint64_t(probes.multiply_add(rounds, &done));
                flops += done;
            });
        });
        return std::pair{elapsed, double(flops.load()) / elapsed};
    };
    std::size_t rounds = 1 << 16;
    for (;; rounds *= 2) {  // until a run is long enough to be timed
        const auto [elapsed, rate] = run(rounds);
        if (elapsed >= seconds || rounds >= (std::size_t(1) << 40)) return rate;
    }
}

nb::tuple bound_moments(Array<const float, 1> values, int threads) {
    if (!values.size()) throw nb::value_error("moments: no values");
    Moments found{};
    {
        nb::gil_scoped_release release;
        found = moments(values.data(), values.size(), threads);
    }
    return nb::make_tuple(found.sum, found.squares, found.largest);
}

void bound_histogram(Array<const float, 1> values, double limit, Array<std::int64_t, 1> counts, int threads) {
    if (counts.shape(0) != histogram_bins) throw nb::value_error("histogram: counts must have 256 bins");
    nb::gil_scoped_release release;
    histogram(values.data(), values.size(), limit, counts.data(), threads);
}

nb::tuple bound_worst_block(Array<const float, 2> weights, Array<const float, 2> decoded,
                            std::optional<Array<const float, 1>> importance, std::size_t block_size,
                            int threads) {
    const std::size_t rows = weights.shape(0), columns = weights.shape(1);
    if (!rows || !columns || !block_size || columns % block_size || decoded.shape(0) != rows ||
        decoded.shape(1) != columns || (importance && importance->shape(0) != columns))
        throw nb::value_error("worst_block: the arrays do not fit each other");
    WorstBlock found{};
    {
        nb::gil_scoped_release release;
        found = worst_block(weights.data(), decoded.data(), importance ? importance->data() : nullptr, rows,
                            columns, block_size, threads);
    }
    return nb::make_tuple(found.index, found.error);
}

}  // namespace

void zeropoint::bind_machine(nb::module_& module) {
    module.def("read_seconds", &read_seconds, nb::arg("words"), nb::arg("threads"));
    module.def("multiply_adds_per_second", &multiply_adds_per_second, nb::arg("seconds"), nb::arg("threads"));
    module.def("histogram", &bound_histogram, nb::arg("values"), nb::arg("limit"), nb::arg("counts"),
               nb::arg("threads"));
    module.def("worst_block", &bound_worst_block, nb::arg("weights"), nb::arg("decoded"),
               nb::arg("importance").none(), nb::arg("block_size"), nb::arg("threads"));
    module.def("moments", &bound_moments, nb::arg("values"), nb::arg("threads"));
}
