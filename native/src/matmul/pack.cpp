// Packed matrices: the layout of each format, and how rows of blocks are packed and read back.
#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <vector>

#include "runtime/cpu.hpp"
#include "matmul/matmul.hpp"
#include "runtime/pool.hpp"

namespace zeropoint {
namespace {

const Packing* find_packing(const std::string& format) {
    const PackingTable table = ZEROPOINT_PICK(packings)();
    for (std::size_t i = 0; i < table.count; ++i)
        if (format == table.rows[i].format) return &table.rows[i];
    return nullptr;
}

constexpr std::size_t bytes_per_task = 1 << 16;

}  // namespace

bool PackedMatrix::supports(const std::string& format) { return find_packing(format); }

PackedMatrix::PackedMatrix(const std::string& format, std::size_t rows, std::size_t columns)
    : format_(format), rows_(rows), columns_(columns), packing_(find_packing(format)) {
    if (!packing_) throw std::invalid_argument("no products with format " + format);
    if (rows == 0 || columns == 0) throw std::invalid_argument("a matrix has rows and columns");
    if (rows > (std::size_t(1) << 32) || columns > (std::size_t(1) << 32))
        throw std::invalid_argument("a matrix has at most 2^32 rows and columns");
    if (columns % packing_->block_columns)
        throw std::invalid_argument(format + " stores rows in blocks of " +
                                    std::to_string(packing_->block_columns) + " weights; these have " +
                                    std::to_string(columns));
    const LayoutShape shape = layout_shape(packing_->layout);
    row_bytes_ = columns / packing_->block_columns * packing_->block_bytes;
    panel_bytes_ = (units() + shape.units - 1) / shape.units * shape.bytes;
    data_.reserve(bytes());
}

void PackedMatrix::set_rows(std::size_t first, std::size_t count, const std::uint8_t* blocks, int threads) {
    if (first % panel_rows || first > rows_ || count > rows_ - first ||
        (count % panel_rows && first + count != rows_))
        throw std::invalid_argument("slabs of rows start and, but for the last, end at multiples of 16");
    const std::size_t chunk = std::max<std::size_t>(1, bytes_per_task / panel_bytes_);
    const std::size_t panels = (count + panel_rows - 1) / panel_rows;
    const bool has_padding = columns_ % unit_columns;  // columns that must be zero
    parallel_for((panels + chunk - 1) / chunk, threads, [&](std::size_t task) {
        std::vector<std::uint8_t> whole;
        for (std::size_t p = task * chunk; p < std::min(panels, (task + 1) * chunk); ++p) {
            std::uint8_t* to = data_.data() + (first / panel_rows + p) * panel_bytes_;
            const std::uint8_t* from = blocks + p * panel_rows * row_bytes_;
            const std::size_t here = std::min(panel_rows, count - p * panel_rows);
            if (here < panel_rows) {  // rows of zero bytes decode to zeros
                whole.assign(panel_rows * row_bytes_, 0);
                std::memcpy(whole.data(), from, here * row_bytes_);
                from = whole.data();
            }
            if (has_padding) std::memset(to, 0, panel_bytes_);
            packing_->pack(from, row_bytes_, to);
        }
    });
}

}  // namespace zeropoint
