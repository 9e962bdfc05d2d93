// Products of blocks with activations, dequantized on the fly: out = x · Wᵀ.
//
//   auto weights = PackedMatrix("Q4_K", rows, columns);
//   weights.set_rows(0, rows, blocks, threads);               // or slab by slab
//   Activations x;
//   x.assign(data, n, columns, columns, Mode::fast, threads);  // rounded once, for any number of matrices
//   const Product products[] = {{&weights, out, rows}};
//   multiply(products, x, threads);
//
// `exact` keeps float32 activations; `fast` rounds them to 8 bits in groups of 32 columns. In both, an
// output's bits depend on its row, its activations and the variant only: not on threads, batch or chunks.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "matmul/panels.hpp"

namespace zeropoint {

enum class Mode { exact, fast };

// Memory that grows and is never copied; aligned to cache lines, large ones in huge pages.
class Buffer {
public:
    Buffer() = default;
    explicit Buffer(std::size_t bytes) { reserve(bytes); }
    Buffer(Buffer&& other) noexcept : data_(other.data_), bytes_(other.bytes_) {
        other.data_ = nullptr, other.bytes_ = 0;
    }
    Buffer& operator=(Buffer&&) = delete;
    ~Buffer() { release(); }

    void reserve(std::size_t bytes);  // discards what was there if it grows
    std::uint8_t* data() const { return data_; }
    template <typename T>
    T* as() const {
        return reinterpret_cast<T*>(data_);
    }

private:
    void release();
    std::uint8_t* data_ = nullptr;
    std::size_t bytes_ = 0;
};

// A matrix of one format, its blocks rearranged for the products (see panels.hpp).
class PackedMatrix {
public:
    // Throws std::invalid_argument if the format is unknown, or if a row is not a whole number of blocks.
    PackedMatrix(const std::string& format, std::size_t rows, std::size_t columns);

    static bool supports(const std::string& format);

    // Packs `count` rows of blocks from row `first` on. Slabs start at multiples of 16 rows.
    void set_rows(std::size_t first, std::size_t count, const std::uint8_t* blocks, int threads);
    // Decodes `count` rows to (count, columns) float32, the bits of `decode`.
    void get_rows(const std::int64_t* rows, std::size_t count, float* out, int threads) const;

    std::size_t rows() const { return rows_; }
    std::size_t columns() const { return columns_; }
    std::size_t panels() const { return (rows_ + panel_rows - 1) / panel_rows; }
    std::size_t units() const { return (columns_ + unit_columns - 1) / unit_columns; }
    std::size_t bytes() const { return panels() * panel_bytes_; }
    std::size_t panel_bytes() const { return panel_bytes_; }
    std::size_t row_bytes() const { return row_bytes_; }  // of the source's blocks
    const std::string& format() const { return format_; }
    Layout layout() const { return packing_->layout; }
    const std::uint8_t* panel(std::size_t index) const { return data_.data() + index * panel_bytes_; }

private:
    std::string format_;
    std::size_t rows_, columns_;
    const Packing* packing_;
    std::size_t row_bytes_, panel_bytes_;
    Buffer data_;
};

// Rows of activations, arranged (and in fast mode rounded) for the products.
class Activations {
public:
    // x: (count, columns) float32 with a stride of `stride` floats.
    void assign(const float* x, std::size_t count, std::size_t columns, std::size_t stride, Mode mode,
                int threads);

    std::size_t count() const { return count_; }
    std::size_t columns() const { return columns_; }
    Mode mode() const { return mode_; }

    // The rest is for `multiply`. A tile has a first row, a width and its kernel's index. There are as many
    // wide tiles as fit, then narrower ones.
    struct Tile {
        std::size_t first;
        int width, kind;
    };
    std::span<const Tile> tiles(bool fast) const { return tiles_[fast]; }
    // Computes what the layout needs, unless it exists already. Not thread-safe.
    void prepare(Layout layout, int threads);
    // The arrays that tiles read: a tile's part starts `first · units + unit · width` units in.
    const float* exact() const { return exact_.as<float>(); }
    FastTile fast(Layout layout) const;

private:
    std::size_t units() const { return (columns_ + unit_columns - 1) / unit_columns; }
    void prepare_exact(int threads);
    void prepare_fast(int threads);

    Buffer source_;  // (count, units · 32) float32, zero-padded
    std::size_t count_ = 0, columns_ = 0, stride_ = 0;
    const float* x_ = nullptr;
    Mode mode_ = Mode::exact;
    std::vector<Tile> tiles_[2];  // exact, fast
    bool has_exact_ = false, has_fast_ = false;
    Buffer exact_, codes_, scales_, code_sums_;
    struct Derived {
        Buffer values;
        bool is_there = false;
    };
    Derived& corrections_of(const LayoutKernels& kernel) const;
    Derived sums_[2];            // by groups − 1
    mutable Derived corrections_[8][2];  // by zero points, 1 … 128, and groups
};

struct Product {
    const PackedMatrix* weights;
    float* out;          // (activations, rows)
    std::size_t stride;  // floats from one activation's outputs to the next's
    // Only these rows, the first one a multiple of 16. 0: all rows.
    std::size_t first_row = 0, rows = 0;

    std::size_t row_count() const { return rows ? rows : weights->rows() - first_row; }
    std::size_t panels() const { return (row_count() + panel_rows - 1) / panel_rows; }
    const std::uint8_t* panel(std::size_t index) const {
        return weights->panel(first_row / panel_rows + index);
    }
};

// Computes all products of the same activations at once. Throws std::invalid_argument if widths differ. The
// source of the activations must still exist.
void multiply(std::span<const Product> products, Activations& x, int threads);

}  // namespace zeropoint
