// Blocks to panels: the planes of panels.hpp from each format's own order of codes.
#include <algorithm>
#include <stdexcept>
#include <vector>

#include "packing.hpp"
#include "zeropoint/matmul.hpp"
#include "zeropoint/pool.hpp"

namespace zeropoint {
namespace {

void pack_q8_0(const std::uint8_t* from, Lane to) {
    to.put_half(0, from);
    for (int t = 0; t < 8; ++t) to.put_word(32 + 64 * t, word(from + 2 + 4 * t));
}

void pack_q4_0(const std::uint8_t* from, Lane to) {  // and IQ4_NL
    to.put_half(0, from);
    to.put_halves_of_16(32, from + 2);
}

void pack_q4_1(const std::uint8_t* from, Lane to) {
    to.put_half(0, from);
    to.put_half(32, from + 2);
    to.put_halves_of_16(64, from + 4);
}

void pack_q5_0(const std::uint8_t* from, Lane to) {
    to.put_half(0, from);
    to.put_bit_string(32, word(from + 2));
    to.put_halves_of_16(96, from + 6);
}

void pack_q5_1(const std::uint8_t* from, Lane to) {
    to.put_half(0, from);
    to.put_half(32, from + 2);
    to.put_bit_string(64, word(from + 4));
    to.put_halves_of_16(128, from + 8);
}

void pack_mxfp4(const std::uint8_t* from, Lane to) {
    to.put_byte(0, from[0]);
    to.put_halves_of_16(16, from + 1);
}

void pack_nvfp4(const std::uint8_t* from, Lane to) {
    for (int g = 0; g < 4; ++g) to.put_byte(16 * g, from[g]);
    for (int u = 0; u < 2; ++u) {  // groups of 16: byte i is column i and, high, column i + 8
        const std::uint8_t* bytes = from + 4 + 16 * u;
        std::uint32_t codes[8];
        for (int t = 0; t < 8; ++t) codes[t] = word(bytes + 8 * (t / 4) + 4 * (t % 2)) >> (t % 4 / 2 * 4);
        to.put_nibbles(64 + 256 * u, codes);
    }
}

void pack_q1_0(const std::uint8_t* from, Lane to) {
    to.put_half(0, from);
    for (int u = 0; u < 4; ++u) to.put_bit_string(32 + 64 * u, word(from + 2 + 4 * u));
}

void pack_q2_0(const std::uint8_t* from, Lane to) {
    to.put_half(0, from);
    for (int u = 0; u < 2; ++u) {
        std::uint32_t codes[8];
        for (int t = 0; t < 8; ++t) {
            const std::uint32_t four = from[2 + 8 * u + t];
            codes[t] = (four & 3) | (four & 12) << 6 | (four & 48) << 12 | (four & 192) << 18;
        }
        to.put_crumbs(32 + 128 * u, codes);
    }
}

// The crumbs of Q2_K, Q3_K and TQ2_0: unit u lies in 32 bytes at shift 2 · (u % 4).
void crumbs_of_unit(const std::uint8_t* bytes, int unit, std::uint32_t (&codes)[8]) {
    for (int t = 0; t < 8; ++t) codes[t] = word(bytes + 32 * (unit / 4) + 4 * t) >> 2 * (unit % 4);
}

void pack_tq2_0(const std::uint8_t* from, Lane to) {
    to.put_half(0, from + 64);
    for (int u = 0; u < 8; ++u) {
        std::uint32_t codes[8];
        crumbs_of_unit(from, u, codes);
        to.put_crumbs(32 + 128 * u, codes);
    }
}

// Base 3: the digit k of a byte b is (b · 3^k mod 256) · 3 >> 8. Widened to 2 bits here, 1.69 → 2.06 bits
// per weight: a product reads it as fast as TQ2_0, where five digits per byte would cost arithmetic.
void pack_tq1_0(const std::uint8_t* from, Lane to) {
    static constexpr std::uint8_t powers[5] = {1, 3, 9, 27, 81};
    std::uint8_t codes[256];
    const auto digit = [&](std::size_t byte, int k) {
        return std::uint8_t(std::uint8_t(from[byte] * powers[k]) * 3 >> 8);
    };
    std::size_t at = 0;
    for (int k = 0; k < 5; ++k)
        for (std::size_t i = 0; i < 32; ++i) codes[at++] = digit(i, k);
    for (int k = 0; k < 5; ++k)
        for (std::size_t i = 32; i < 48; ++i) codes[at++] = digit(i, k);
    for (int k = 0; k < 4; ++k)
        for (std::size_t i = 48; i < 52; ++i) codes[at++] = digit(i, k);
    to.put_half(0, from + 52);
    for (int u = 0; u < 8; ++u) {
        std::uint32_t words[8];
        std::memcpy(words, codes + 32 * u, 32);
        to.put_crumbs(32 + 128 * u, words);
    }
}

void pack_q2_k(const std::uint8_t* from, Lane to) {
    to.put_half(0, from + 80);
    to.put_half(32, from + 82);
    for (int g = 0; g < 16; ++g) to.put_byte(64 + 16 * g, from[g]);
    for (int u = 0; u < 8; ++u) {
        std::uint32_t codes[8];
        crumbs_of_unit(from + 16, u, codes);
        to.put_crumbs(320 + 128 * u, codes);
    }
}

void pack_q3_k(const std::uint8_t* from, Lane to) {
    const std::uint8_t* scales = from + 96;
    to.put_half(0, from + 108);
    unsigned factors[2][8];
    for (int g = 0; g < 16; ++g) {
        const unsigned low = g < 8 ? scales[g] & 15u : scales[g - 8] >> 4;
        factors[g % 2][g / 2] = low | (scales[8 + g % 4] >> 2 * (g / 4) & 3u) << 4;
    }
    to.put_sixes(32, factors[0], factors[1]);
    for (int u = 0; u < 8; ++u) {
        std::uint32_t codes[8], high[8];
        crumbs_of_unit(from + 32, u, codes);
        for (int t = 0; t < 8; ++t) high[t] = word(from + 4 * t) >> u;
        to.put_crumbs(224 + 192 * u, codes);
        to.put_bits(224 + 192 * u + 128, high);
    }
}

// The 12 bytes of 6-bit scales and minimums of Q4_K and Q5_K.
void pack_k_header(const std::uint8_t* from, Lane to) {
    const std::uint8_t* packed = from + 4;
    to.put_half(0, from);
    to.put_half(32, from + 2);
    unsigned scale[8], minimum[8];
    for (int u = 0; u < 4; ++u) {
        scale[u] = packed[u] & 63u;
        minimum[u] = packed[u + 4] & 63u;
        scale[u + 4] = (packed[u + 8] & 15u) | (packed[u] >> 6) << 4;
        minimum[u + 4] = packed[u + 8] >> 4 | (packed[u + 4] >> 6) << 4;
    }
    to.put_sixes(64, scale, minimum);
}

// 4-bit codes of Q4_K and Q5_K: 32 bytes hold units 2c (low) and 2c + 1 (high).
void pack_k_nibbles(const std::uint8_t* bytes, int unit, std::size_t at, Lane to) {
    std::uint32_t codes[8];
    for (int t = 0; t < 8; ++t) codes[t] = word(bytes + 32 * (unit / 2) + 4 * t) >> 4 * (unit % 2);
    to.put_nibbles(at, codes);
}

void pack_q4_k(const std::uint8_t* from, Lane to) {
    pack_k_header(from, to);
    for (int u = 0; u < 8; ++u) pack_k_nibbles(from + 16, u, 256 + 256 * u, to);
}

void pack_q5_k(const std::uint8_t* from, Lane to) {
    pack_k_header(from, to);
    for (int u = 0; u < 8; ++u) {
        pack_k_nibbles(from + 48, u, 256 + 320 * u, to);
        std::uint32_t high[8];
        for (int t = 0; t < 8; ++t) high[t] = word(from + 16 + 4 * t) >> u;
        to.put_bits(256 + 320 * u + 256, high);
    }
}

void pack_q6_k(const std::uint8_t* from, Lane to) {
    to.put_half(0, from + 208);
    for (int g = 0; g < 16; ++g) to.put_byte(32 + 16 * g, from[192 + g]);
    for (int u = 0; u < 8; ++u) {  // 4 units share 64 bytes of low and 32 bytes of high codes
        const std::uint8_t* low = from + 64 * (u / 4) + 32 * (u % 2);
        const std::uint8_t* high = from + 128 + 32 * (u / 4);
        std::uint32_t codes[8], crumbs[8];
        for (int t = 0; t < 8; ++t) {
            codes[t] = word(low + 4 * t) >> (u % 4 / 2 * 4);
            crumbs[t] = word(high + 4 * t) >> 2 * (u % 4);
        }
        to.put_nibbles(288 + 384 * u, codes);
        to.put_crumbs(288 + 384 * u + 256, crumbs);
    }
}

void pack_iq4_xs(const std::uint8_t* from, Lane to) {
    to.put_half(0, from);
    for (int i = 0; i < 4; ++i) to.put_byte(32 + 16 * i, from[4 + i]);
    for (int i = 0; i < 2; ++i) to.put_byte(96 + 16 * i, from[2 + i]);
    for (int u = 0; u < 8; ++u) to.put_halves_of_16(128 + 256 * u, from + 8 + 16 * u);
}

constexpr Packing packings[] = {
    {"Q8_0", Layout::q8_0, 34, pack_q8_0},       {"Q4_0", Layout::q4_0, 18, pack_q4_0},
    {"Q4_1", Layout::q4_1, 20, pack_q4_1},       {"Q5_0", Layout::q5_0, 22, pack_q5_0},
    {"Q5_1", Layout::q5_1, 24, pack_q5_1},       {"Q2_K", Layout::q2_k, 84, pack_q2_k},
    {"Q3_K", Layout::q3_k, 110, pack_q3_k},      {"Q4_K", Layout::q4_k, 144, pack_q4_k},
    {"Q5_K", Layout::q5_k, 176, pack_q5_k},      {"Q6_K", Layout::q6_k, 210, pack_q6_k},
    {"IQ4_NL", Layout::iq4_nl, 18, pack_q4_0},   {"IQ4_XS", Layout::iq4_xs, 136, pack_iq4_xs},
    {"TQ1_0", Layout::tq2_0, 54, pack_tq1_0},    {"TQ2_0", Layout::tq2_0, 66, pack_tq2_0},
    {"MXFP4", Layout::mxfp4, 17, pack_mxfp4},    {"NVFP4", Layout::nvfp4, 36, pack_nvfp4},
    {"Q1_0", Layout::q1_0, 18, pack_q1_0},       {"Q2_0", Layout::q2_0, 18, pack_q2_0},
};

struct Float {
    const char* format;
    Layout layout;
    std::size_t bytes;
};
constexpr Float floats[] = {
    {"F32", Layout::f32, 4}, {"F16", Layout::f16, 2}, {"BF16", Layout::bf16, 2}};

template <typename T>
const T* find(const std::string& format, std::span<const T> among) {
    for (const T& row : among)
        if (format == row.format) return &row;
    return nullptr;
}

const Packing* find_packing(const std::string& format) {
    const Packing* packing = find<Packing>(format, packings);
    return packing ? packing : find(format, grid_packings());
}

// (columns, 16) elements of `bytes` bytes from rows of them; what is missing stays zero.
void pack_floats(const std::uint8_t* rows, std::size_t row_bytes, std::size_t count, std::size_t bytes,
                 std::uint8_t* panel) {
    for (std::size_t r = 0; r < count; ++r)
        for (std::size_t c = 0; c < row_bytes / bytes; ++c)
            std::memcpy(panel + (c * 16 + r) * bytes, rows + r * row_bytes + c * bytes, bytes);
}

void pack_blocks(const Packing& packing, const std::uint8_t* rows, std::size_t row_bytes, std::size_t count,
                 std::uint8_t* panel) {
    const std::size_t bytes = layout_shape(packing.layout).bytes;
    for (std::size_t at = 0; at < row_bytes; at += packing.block_bytes, panel += bytes)
        for (std::size_t r = 0; r < count; ++r)
            packing.pack(rows + r * row_bytes + at, Lane{panel, r});
}

}  // namespace

bool PackedMatrix::supports(const std::string& format) {
    return find_packing(format) || find<Float>(format, floats);
}

PackedMatrix::PackedMatrix(const std::string& format, std::size_t rows, std::size_t columns)
    : format_(format), rows_(rows), columns_(columns) {
    if (!supports(format)) throw std::invalid_argument("no products with format " + format);
    if (rows == 0 || columns == 0) throw std::invalid_argument("a matrix has rows and columns");
    if (rows > (std::size_t(1) << 32) || columns > (std::size_t(1) << 32))
        throw std::invalid_argument("a matrix has at most 2^32 rows and columns");
    std::size_t block_columns = 1;
    if (const Float* row = find<Float>(format, floats)) {
        layout_ = row->layout;
        row_bytes_ = columns * row->bytes;
        panel_bytes_ = units() * layout_shape(layout_).bytes;
    } else {
        const Packing& packing = *find_packing(format);
        layout_ = packing.layout;
        const LayoutShape shape = layout_shape(layout_);
        block_columns = shape.units * unit_columns;
        row_bytes_ = columns / block_columns * packing.block_bytes;
        panel_bytes_ = columns / block_columns * shape.bytes;
    }
    if (columns % block_columns)
        throw std::invalid_argument(format + " stores rows in blocks of " + std::to_string(block_columns) +
                                    " weights; these have " + std::to_string(columns));
    data_.reserve(bytes());
}

void PackedMatrix::set_rows(std::size_t first, std::size_t count, const std::uint8_t* blocks,
                            int threads) {
    if (first % panel_rows || first > rows_ || count > rows_ - first ||
        (count % panel_rows && first + count != rows_))
        throw std::invalid_argument("slabs of rows start and, but for the last, end at multiples of 16");
    const Packing* packing = find_packing(format_);
    const Float* element = find<Float>(format_, floats);
    const std::size_t chunk = std::max<std::size_t>(1, (1 << 16) / panel_bytes_);
    const std::size_t panels = (count + panel_rows - 1) / panel_rows;
    parallel_for((panels + chunk - 1) / chunk, threads, [&](std::size_t task) {
        for (std::size_t p = task * chunk; p < std::min(panels, (task + 1) * chunk); ++p) {
            std::uint8_t* to = data_.data() + (first / panel_rows + p) * panel_bytes_;
            const std::uint8_t* from = blocks + p * panel_rows * row_bytes_;
            const std::size_t here = std::min(panel_rows, count - p * panel_rows);
            if (here < panel_rows || (element && columns_ % unit_columns)) std::memset(to, 0, panel_bytes_);
            if (packing)
                pack_blocks(*packing, from, row_bytes_, here, to);
            else
                pack_floats(from, row_bytes_, here, element->bytes, to);
        }
    });
}

}  // namespace zeropoint
