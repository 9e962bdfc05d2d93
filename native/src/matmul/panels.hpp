// Layout of weights in memory for the products, and the kernels on it: the interface between the
// packing, the driver (matmul.cpp) and the variants.
//
// A panel is 16 rows, interleaved so that a vector's 32-bit lanes are rows and no sum ever crosses
// lanes. A unit is 32 columns of a panel. The codes of a unit lie in planes of 32-bit words, one word per
// row and plane, 16 rows side by side (64 bytes):
//
//   8 bits   8 words; word t holds columns 4t … 4t+3, a byte each
//   4 bits   4 words; the low nibbles of word j are columns 4j … 4j+3, the high ones 4j+16 … 4j+19
//   2 bits   2 words; the 2-bit fields k of word i are columns 16i+4k … 16i+4k+3
//   1 bit    1 word;  the bits k of its bytes are columns 4k … 4k+3
//
// (and the codes of the IQ formats, which name points of grids, in bytes, 16-bit or 32-bit words of 16 rows)
// so shifting and masking words gives four codes per lane, in the order of the activations. Formats of 3,
// 5 and 6 bits are two planes. A block consists of the units that share a header (scales); the header
// comes first. Packed panels have as many bytes as the blocks that they were packed from (TQ1_0
// excepted).
#pragma once
#include <cstddef>
#include <cstdint>

namespace zeropoint {

constexpr std::size_t panel_rows = 16;
constexpr std::size_t unit_columns = 32;
constexpr std::size_t fast_block_units = 16;  // units unpacked at a time in fast mode
constexpr std::size_t exact_block_units = 8;  // and in exact mode: 16 rows of 256 float32 are 16 KiB
constexpr std::size_t exact_block_floats = exact_block_units * unit_columns * panel_rows;
constexpr int max_exact_panels = 2;  // exact tiles have one panel or `exact_panels`
constexpr int tile_widths = 3;  // fast tiles of activations are 1, 4, or as many wide as registers allow
constexpr int max_exact_width = 12;  // exact tiles have any width up to this

// clang-format off
enum class Layout : int {
    f32, f16, bf16,
    q8_0, q4_0, q4_1, q5_0, q5_1, q2_k, q3_k, q4_k, q5_k, q6_k,
    iq4_nl, iq4_xs, tq2_0, mxfp4, nvfp4, q1_0, q2_0,
    iq1_s, iq1_m, iq2_xxs, iq2_xs, iq2_s, iq3_xxs, iq3_s,
    count
};
// clang-format on

// Units that share a header, and bytes of such a block of 16 rows.
struct LayoutShape {
    std::size_t units, bytes;
};
constexpr LayoutShape layout_shape(Layout layout) {
    switch (layout) {
        case Layout::f32: return {1, 16 * 128};
        case Layout::f16:
        case Layout::bf16: return {1, 16 * 64};
        case Layout::q8_0: return {1, 16 * 34};
        case Layout::q4_0:
        case Layout::iq4_nl: return {1, 16 * 18};
        case Layout::q4_1: return {1, 16 * 20};
        case Layout::q5_0: return {1, 16 * 22};
        case Layout::q5_1: return {1, 16 * 24};
        case Layout::mxfp4: return {1, 16 * 17};
        case Layout::q2_0: return {2, 16 * 18};
        case Layout::nvfp4: return {2, 16 * 36};
        case Layout::q1_0: return {4, 16 * 18};
        case Layout::tq2_0: return {8, 16 * 66};
        case Layout::q2_k: return {8, 16 * 84};
        case Layout::q3_k: return {8, 16 * 110};
        case Layout::q4_k: return {8, 16 * 144};
        case Layout::q5_k: return {8, 16 * 176};
        case Layout::q6_k: return {8, 16 * 210};
        case Layout::iq4_xs: return {8, 16 * 136};
        case Layout::iq1_s: return {8, 16 * 50};
        case Layout::iq1_m: return {8, 16 * 56};
        case Layout::iq2_xxs: return {8, 16 * 66};
        case Layout::iq2_xs: return {8, 16 * 74};
        case Layout::iq2_s: return {8, 16 * 82};
        case Layout::iq3_xxs: return {8, 16 * 98};
        case Layout::iq3_s: return {8, 16 * 110};
        default: return {0, 0};
    }
}

// A tile of `width` rows of 8-bit activations, column-interleaved, from one unit on.
struct FastTile {
    const std::int32_t* codes;        // (units, 8, width) words of four int8
    const float* scales;              // (units, width)
    const std::int32_t* corrections;  // (units, groups, width): −zero_point · sum of the codes
    const float* sums;                // (units, groups, width): scale · sum of the codes

    FastTile from(std::size_t units, std::size_t groups) const {
        return {codes + units * 8, scales + units, corrections + units * groups, sums + units * groups};
    }
};

// A block of columns of a panel, unpacked into cache.
struct Unpacked {
    alignas(64) std::uint8_t codes[fast_block_units * 16 * 64];  // (units, 8 or 16, 16) words
    alignas(64) float scales[fast_block_units * 2 * 16];         // (units, groups, 16)
    alignas(64) float minimums[fast_block_units * 2 * 16];
};

// The intermediate values of a product with one activation, for the 16 rows of a panel side by side.
struct FastTrace {
    std::uint8_t* codes;  // (units, 8, 16) words, as they are multiplied
    std::int32_t* dots;   // (units, groups, 16), exact
    float* scales;        // (units, groups, 16)
    float* minimums;      // (units, groups, 16), where there are such
    float* totals;        // (units, 16): after each unit
};
struct ExactTrace {
    float* weights;  // (units · 32, 16)
    float* chains;   // (units · 32, 16): a unit's sum of products so far
    float* totals;   // (units, 16)
};

// `out` is (width, 16) with a stride of `stride` floats between activations. Totals start at zero, or at
// the values in `out` if `resume` is set: cutting the columns into blocks changes no bit.
struct LayoutKernels {
    int groups;       // scales per unit: 1 or 2; 0: float weights, which have no fast product
    int zero_point;   // subtracted through FastTile::corrections; 0: none
    bool has_minimum;  // added through FastTile::sums
    using VectorFast = void (*)(const std::uint8_t* panel, std::size_t units, const FastTile& x, float* out);
    using VectorExact = void (*)(const std::uint8_t* panel, std::size_t units, const float* x, float* out);
    using MultiplyFast = void (*)(const Unpacked& panel, std::size_t units, const FastTile& x, float* out,
                                  std::size_t stride, bool resume);
    // One activation with a whole panel, decoded in registers.
    VectorFast vector_fast;
    VectorExact vector_exact;
    // The same code, which also records its intermediate values.
    void (*trace_fast)(const std::uint8_t* panel, std::size_t units, const FastTile& x, float* out,
                       const FastTrace& to);
    void (*trace_exact)(const std::uint8_t* panel, std::size_t units, const float* x, float* out,
                        const ExactTrace& to);
    // Columns from `unit` on, unpacked; then, by the index of the tile's width, multiplied.
    void (*unpack_fast)(const std::uint8_t* panel, std::size_t unit, std::size_t units, Unpacked& out);
    MultiplyFast multiply_fast[tile_widths];
    // (units · 32, 16) float32 weights, the bits of `decode`.
    void (*unpack_exact)(const std::uint8_t* panel, std::size_t unit, std::size_t units, float* out);
};

struct MatmulKernels {
    const LayoutKernels* layouts;  // by Layout
    using MultiplyExact = void (*)(const float* weights, std::size_t units, const float* x, float* out,
                                   std::size_t stride, bool resume);
    MultiplyExact multiply_exact[max_exact_panels][max_exact_width + 1];  // by panels − 1 and width
    int exact_panels, exact_width;                                      // the most
    int fast_widths[tile_widths];                   // rising
    // Rounds `width` rows of x (strided by `stride`, `columns` a multiple of 32) to a tile:
    // codes (units, 8, width), scales (units, width), sums of codes (units, 2, width).
    void (*round_tile)(const float* x, std::size_t stride, int width, std::size_t columns,
                       std::int32_t* codes, float* scales, std::int32_t* sums);
};

// Conversion of a format's blocks to panels.
struct Packing {
    const char* format;
    Layout layout;
    std::size_t block_columns, block_bytes;  // of the format
    // 16 rows of `row_bytes` bytes of blocks each -> one panel.
    void (*pack)(const std::uint8_t* rows, std::size_t row_bytes, std::uint8_t* panel);
};

struct PackingTable {
    const Packing* rows;
    std::size_t count;
};

namespace baseline {
const MatmulKernels& matmul_kernels();
PackingTable packings();
}
#ifdef ZEROPOINT_HAS_avx2
namespace avx2 {
const MatmulKernels& matmul_kernels();
PackingTable packings();
}
#endif
#ifdef ZEROPOINT_HAS_avx512
namespace avx512 {
const MatmulKernels& matmul_kernels();
PackingTable packings();
}
#endif

}  // namespace zeropoint
