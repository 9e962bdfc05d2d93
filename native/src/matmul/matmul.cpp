// Arranges activations, cuts products into tasks, and calls the active variant's kernels.
//
// With one activation, each panel is decoded in registers and read once, so memory bandwidth is the limit.
// With more, a block of columns of a panel is unpacked into the first-level cache and multiplied with all
// tiles, so arithmetic is the limit. Both sum in the same order, so the result has the same bits.
#include "matmul/matmul.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

#include "runtime/cpu.hpp"
#include "runtime/pool.hpp"

namespace zeropoint {
namespace {

const MatmulKernels& kernels() {
    static const MatmulKernels& active = ZEROPOINT_PICK(matmul_kernels)();
    return active;
}

const LayoutKernels& kernels_of(Layout layout) { return kernels().layouts[std::size_t(layout)]; }

constexpr std::size_t huge_page = std::size_t(2) << 20;
constexpr std::size_t rows_at_once =
    512;  // activations per pass over the weights, few enough to stay in cache
constexpr std::size_t panels_per_task = 8;
constexpr std::size_t bytes_per_task =
    128 << 10;  // of weights, with one activation: small enough that threads finish together

}  // namespace

void Buffer::reserve(std::size_t bytes) {
    if (bytes <= bytes_) return;
    release();
    const std::size_t rounded = (bytes + 4095) / 4096 * 4096;
    void* memory = mmap(nullptr, rounded, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    if (rounded >= huge_page) madvise(memory, rounded, MADV_HUGEPAGE);
    data_ = static_cast<std::uint8_t*>(memory);
    bytes_ = rounded;
}

void Buffer::release() {
    if (data_) munmap(data_, bytes_);
    data_ = nullptr, bytes_ = 0;
}

void PackedMatrix::get_rows(const std::int64_t* rows, std::size_t count, float* out, int threads) const {
    for (std::size_t i = 0; i < count; ++i)
        if (rows[i] < 0 || std::size_t(rows[i]) >= rows_)
            throw std::out_of_range("row " + std::to_string(rows[i]) + " of " + std::to_string(rows_));
    const LayoutKernels& kernel = kernels_of(layout());
    parallel_for(count, threads, [&](std::size_t i) {
        alignas(64) float weights[exact_block_units * unit_columns * panel_rows];
        const std::uint8_t* from = panel(std::size_t(rows[i]) / panel_rows);
        const std::size_t lane = std::size_t(rows[i]) % panel_rows;
        for (std::size_t unit = 0; unit < units(); unit += exact_block_units) {
            kernel.unpack_exact(from, unit, std::min(exact_block_units, units() - unit), weights);
            const std::size_t first = unit * unit_columns;
            const std::size_t last = std::min(columns_, first + exact_block_units * unit_columns);
            for (std::size_t c = first; c < last; ++c)
                out[i * columns_ + c] = weights[(c - first) * panel_rows + lane];
        }
    });
}

// ---- activations ----

void Activations::assign(const float* x, std::size_t count, std::size_t columns, std::size_t stride,
                         Mode mode, int threads) {
    count_ = count, columns_ = columns, mode_ = mode;
    has_exact_ = has_fast_ = false;
    x_ = x, stride_ = stride;
    for (auto& tiles : tiles_) tiles.clear();
    const std::size_t wide = std::size_t(kernels().exact_width);
    for (std::size_t first = 0; first < count; first += wide) {
        const int width = int(std::min(wide, count - first));
        tiles_[false].push_back({first, width, width});
    }
    std::size_t first = 0;
    for (int kind = tile_widths; kind-- > 0;)
        for (const std::size_t width = std::size_t(kernels().fast_widths[kind]); count - first >= width;
             first += width)
            tiles_[true].push_back({first, int(width), kind});
    if (columns % unit_columns == 0) return;
    // Kernels read whole units: pad with zeros, which weights of zero meet.
    const std::size_t padded = units() * unit_columns;
    source_.reserve(count * padded * sizeof(float));
    float* to = source_.as<float>();
    parallel_for(count, threads, [&](std::size_t i) {
        std::memcpy(to + i * padded, x + i * stride, columns * sizeof(float));
        std::memset(to + i * padded + columns, 0, (padded - columns) * sizeof(float));
    });
    x_ = to, stride_ = padded;
}

void Activations::prepare_exact(int threads) {
    if (has_exact_) return;
    const std::size_t columns = units() * unit_columns;
    exact_.reserve(count_ * columns * sizeof(float));
    parallel_for(tiles(false).size(), threads, [&](std::size_t index) {
        const Tile at = tiles(false)[index];
        float* to = exact_.as<float>() + at.first * columns;
        for (std::size_t begin = 0; begin < columns; begin += unit_columns)  // in the first-level cache
            for (int j = 0; j < at.width; ++j) {
                const float* from = x_ + (at.first + j) * stride_;
                for (std::size_t c = begin; c < begin + unit_columns; ++c) to[c * at.width + j] = from[c];
            }
    });
    has_exact_ = true;
}

void Activations::prepare_fast(int threads) {
    if (has_fast_) return;
    codes_.reserve(count_ * units() * 32);
    scales_.reserve(count_ * units() * 4);
    code_sums_.reserve(count_ * units() * 8);
    parallel_for(tiles(true).size(), threads, [&](std::size_t index) {
        const Tile at = tiles(true)[index];
        kernels().round_tile(x_ + at.first * stride_, stride_, at.width, units() * unit_columns,
                             codes_.as<std::int32_t>() + at.first * units() * 8,
                             scales_.as<float>() + at.first * units(),
                             code_sums_.as<std::int32_t>() + at.first * units() * 2);
    });
    has_fast_ = true;
    for (Derived& sums : sums_) sums.is_there = false;
    for (auto& both : corrections_)
        for (Derived& corrections : both) corrections.is_there = false;
}

void Activations::prepare(Layout layout, int threads) {
    const LayoutKernels& kernel = kernels_of(layout);
    if (mode_ == Mode::exact || kernel.groups == 0) return prepare_exact(threads);
    prepare_fast(threads);
    const std::size_t groups = std::size_t(kernel.groups), total = count_ * units() * groups;
    // Of each unit, group and activation, tile by tile: to(index, sum of codes, scale).
    const auto derive = [&](const auto& to) {
        for (const Tile at : tiles(true)) {
            const std::size_t width = std::size_t(at.width), first = at.first * units();
            const std::int32_t* codes = code_sums_.as<std::int32_t>() + first * 2;
            for (std::size_t u = 0; u < units(); ++u)
                for (std::size_t j = 0; j < width; ++j) {
                    const std::int32_t low = codes[2 * u * width + j], high = codes[(2 * u + 1) * width + j];
                    const float scale = scales_.as<float>()[first + u * width + j];
                    const std::size_t i = first * groups + u * groups * width + j;
                    to(i, groups == 2 ? low : low + high, scale);
                    if (groups == 2) to(i + width, high, scale);
                }
        }
    };
    Derived& sums = sums_[groups - 1];
    if (kernel.has_minimum && !sums.is_there) {
        sums.values.reserve(total * sizeof(float));
        derive([to = sums.values.as<float>()](std::size_t i, std::int32_t sum, float scale) {
            to[i] = scale * float(sum);
        });
        sums.is_there = true;
    }
    if (!kernel.zero_point) return;
    Derived& corrections = corrections_of(kernel);
    if (corrections.is_there) return;
    corrections.values.reserve(total * sizeof(std::int32_t));
    derive([to = corrections.values.as<std::int32_t>(), zero_point = kernel.zero_point](
               std::size_t i, std::int32_t sum, float) { to[i] = -zero_point * sum; });
    corrections.is_there = true;
}

Activations::Derived& Activations::corrections_of(const LayoutKernels& kernel) const {
    return corrections_[std::countr_zero(unsigned(kernel.zero_point)) % 8][kernel.groups - 1];
}

FastTile Activations::fast(Layout layout) const {
    const LayoutKernels& kernel = kernels_of(layout);
    return {codes_.as<std::int32_t>(), scales_.as<float>(), corrections_of(kernel).values.as<std::int32_t>(),
            sums_[kernel.groups - 1].values.as<float>()};
}

// ---- products ----

namespace {

// Destination of a panel's outputs: directly into `out`, or into a spare buffer if the panel has fewer
// than 16 rows.
class PanelOutput {
public:
    PanelOutput(const Product& product, std::size_t panel, float* spare, std::size_t first_activation)
        : out_(product.out + panel * panel_rows), stride_(product.stride),
          rows_(std::min(panel_rows, product.row_count() - panel * panel_rows)), spare_(spare),
          first_activation_(first_activation) {}

    float* at(std::size_t activation) const {
        return rows_ < panel_rows ? spare_ + (activation - first_activation_) * panel_rows
                                  : out_ + activation * stride_;
    }
    std::size_t stride() const { return rows_ < panel_rows ? panel_rows : stride_; }
    void finish(std::size_t activations) const {
        if (rows_ == panel_rows) return;
        for (std::size_t j = first_activation_; j < first_activation_ + activations; ++j)
            std::memcpy(out_ + j * stride_, at(j), rows_ * sizeof(float));
    }

private:
    float* out_;
    std::size_t stride_, rows_;
    float* spare_;
    std::size_t first_activation_;
};

// Panels [first, last) with a single activation.
void multiply_one(const Product& product, const Activations& x, bool fast, std::size_t first,
                  std::size_t last) {
    const PackedMatrix& weights = *product.weights;
    const LayoutKernels& kernel = kernels_of(weights.layout());
    float spare[panel_rows];
    for (std::size_t p = first; p < last; ++p) {
        const PanelOutput out(product, p, spare, 0);
        const std::uint8_t* data = product.panel(p);
        if (fast)
            kernel.vector_fast(data, weights.units(), x.fast(weights.layout()), out.at(0));
        else
            kernel.vector_exact(data, weights.units(), x.exact(), out.at(0));
        out.finish(1);
    }
}

struct Range {
    std::size_t first, last;
};

// Panels with tiles of activations, at most `rows_at_once` of these.
void multiply_fast(const Product& product, const Activations& x, Range panels,
                   std::span<const Activations::Tile> tiles) {
    const PackedMatrix& weights = *product.weights;
    const LayoutKernels& kernel = kernels_of(weights.layout());
    const std::size_t units = weights.units(), begin = tiles.front().first;
    const FastTile rounded = x.fast(weights.layout());
    Unpacked codes;
    alignas(64) float spare[rows_at_once * panel_rows];
    for (std::size_t unit = 0; unit < units; unit += fast_block_units) {
        const std::size_t here = std::min(fast_block_units, units - unit);
        for (std::size_t p = panels.first; p < panels.last; ++p) {
            const PanelOutput out(product, p, spare, begin);
            kernel.unpack_fast(product.panel(p), unit, here, codes);
            for (const auto& tile : tiles) {
                const std::size_t at = tile.first * units + unit * std::size_t(tile.width);
                kernel.multiply_fast[tile.kind](codes, here, rounded.from(at, std::size_t(kernel.groups)),
                                                out.at(tile.first), out.stride(), unit > 0);
            }
            if (unit + here == units) out.finish(tiles.back().first + tiles.back().width - begin);
        }
    }
}

// The same in exact mode. Several panels share each activation, except for a last one with fewer than 16 rows,
// whose outputs lie apart.
void multiply_exact(const Product& product, const Activations& x, Range panels,
                    std::span<const Activations::Tile> tiles) {
    const PackedMatrix& weights = *product.weights;
    const LayoutKernels& kernel = kernels_of(weights.layout());
    const std::size_t units = weights.units(), begin = tiles.front().first;
    const std::size_t most = std::size_t(kernels().exact_panels), whole = product.row_count() / panel_rows;
    alignas(64) float floats[max_exact_panels * exact_block_floats];
    alignas(64) float spare[rows_at_once * panel_rows];
    for (std::size_t unit = 0; unit < units; unit += exact_block_units) {
        const std::size_t here = std::min(exact_block_units, units - unit);
        for (std::size_t p = panels.first, together; p < panels.last; p += together) {
            together = std::min(panels.last, whole) >= p + most ? most : 1;
            const PanelOutput out(product, p, spare, begin);
            for (std::size_t i = 0; i < together; ++i)
                kernel.unpack_exact(product.panel(p + i), unit, here, floats + i * exact_block_floats);
            const auto& multiply = kernels().multiply_exact[together - 1];
            for (const auto& tile : tiles) {
                const std::size_t at = tile.first * units + unit * std::size_t(tile.width);
                multiply[tile.width](floats, here, x.exact() + at * unit_columns, out.at(tile.first),
                                     out.stride(), unit > 0);
            }
            if (unit + here == units) out.finish(tiles.back().first + tiles.back().width - begin);
        }
    }
}

// One product, cut into tasks: chunks of panels, each with passes over the activations.
struct Job {
    const Product* product;
    bool fast, one;
    std::size_t panels_per_task, chunks, tiles_per_pass, passes;
};

Job plan(const Product& product, const Activations& x, int threads) {
    const PackedMatrix& weights = *product.weights;
    const LayoutKernels& kernel = kernels_of(weights.layout());
    Job job{};
    job.product = &product;
    job.fast = x.mode() == Mode::fast && kernel.groups != 0;
    job.one = x.count() == 1 && kernel.vector_exact;
    // Several tasks per thread, so that a thread that the OS has descheduled does not delay the product.
    const std::size_t even = std::max<std::size_t>(1, product.panels() / (4 * std::size_t(threads)));
    const std::size_t limit = job.one ? bytes_per_task / weights.panel_bytes() : panels_per_task;
    job.panels_per_task = std::clamp<std::size_t>(limit, 1, even);
    job.chunks = (product.panels() + job.panels_per_task - 1) / job.panels_per_task;
    const std::size_t wide =
        std::size_t(job.fast ? kernels().fast_widths[tile_widths - 1] : kernels().exact_width);
    job.tiles_per_pass = std::max<std::size_t>(1, rows_at_once / wide);
    job.passes = job.one ? 1 : (x.tiles(job.fast).size() + job.tiles_per_pass - 1) / job.tiles_per_pass;
    return job;
}

void run(const Job& job, const Activations& x, std::size_t task) {
    const std::size_t first = task % job.chunks * job.panels_per_task;
    const std::size_t last = std::min(first + job.panels_per_task, job.product->panels());
    if (job.one) return multiply_one(*job.product, x, job.fast, first, last);
    const std::size_t tile = task / job.chunks * job.tiles_per_pass;
    const auto all = x.tiles(job.fast);
    const auto tiles = all.subspan(tile, std::min(job.tiles_per_pass, all.size() - tile));
    (job.fast ? multiply_fast : multiply_exact)(*job.product, x, {first, last}, tiles);
}

}  // namespace

void multiply(std::span<const Product> products, Activations& x, int threads) {
    if (x.count() == 0) return;
    threads = std::max(threads, 1);
    std::vector<Job> jobs;
    std::size_t tasks = 0;
    for (const Product& product : products) {
        if (product.weights->columns() != x.columns())
            throw std::invalid_argument("weights have " + std::to_string(product.weights->columns()) +
                                        " columns, activations " + std::to_string(x.columns()));
        x.prepare(product.weights->layout(), threads);
        jobs.push_back(plan(product, x, threads));
        tasks += jobs.back().chunks * jobs.back().passes;
    }
    parallel_for(tasks, threads, [&](std::size_t task) {
        for (const Job& job : jobs) {
            if (task < job.chunks * job.passes) return run(job, x, task);
            task -= job.chunks * job.passes;
        }
    });
}

}  // namespace zeropoint
