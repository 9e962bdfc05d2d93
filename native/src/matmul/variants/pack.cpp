// Converts blocks to panels: from each format's own order of codes to the planes of panels.hpp.
#include "matmul/variants/packing.hpp"

namespace zeropoint::ZEROPOINT_VARIANT {
namespace {

// 4-bit codes as ggml stores 32 of them: the low half of byte i is column i, the high half column i + 16.
void put_halves_of_16(Source from, std::size_t at, Target to, std::size_t plane) {
    for (int j = 0; j < 4; ++j) to.put_word(plane + 64 * j, from.word(at + 4 * j));
}

void pack_q8_0(Source from, Target to) {
    to.put_half(0, from.half(0));
    for (int t = 0; t < 8; ++t) to.put_word(32 + 64 * t, from.word(2 + 4 * t));
}

void pack_q4_0(Source from, Target to) {  // and IQ4_NL
    to.put_half(0, from.half(0));
    put_halves_of_16(from, 2, to, 32);
}

void pack_q4_1(Source from, Target to) {
    to.put_half(0, from.half(0));
    to.put_half(32, from.half(2));
    put_halves_of_16(from, 4, to, 64);
}

void pack_q5_0(Source from, Target to) {
    to.put_half(0, from.half(0));
    to.put_bit_string(32, from.word(2));
    put_halves_of_16(from, 6, to, 96);
}

void pack_q5_1(Source from, Target to) {
    to.put_half(0, from.half(0));
    to.put_half(32, from.half(2));
    to.put_bit_string(64, from.word(4));
    put_halves_of_16(from, 8, to, 128);
}

void pack_mxfp4(Source from, Target to) {
    to.put_byte(0, from.byte(0));
    put_halves_of_16(from, 1, to, 16);
}

void pack_nvfp4(Source from, Target to) {
    to.put_bytes(0, from.word(0));
    for (int u = 0; u < 2; ++u) {  // groups of 16: byte i is column i and, high, column i + 8
        Words codes[8];
        for (int t = 0; t < 8; ++t)
            codes[t] = from.word(4 + 16 * u + 8 * (t / 4) + 4 * (t % 2)) >> (t % 4 / 2 * 4);
        to.put_nibbles(64 + 256 * u, codes);
    }
}

void pack_q1_0(Source from, Target to) {
    to.put_half(0, from.half(0));
    for (int u = 0; u < 4; ++u) to.put_bit_string(32 + 64 * u, from.word(2 + 4 * u));
}

void pack_q2_0(Source from, Target to) {
    to.put_half(0, from.half(0));
    for (int u = 0; u < 2; ++u) {
        Words codes[8];
        for (int t = 0; t < 8; ++t) {
            const Words four = from.word(2 + 8 * u + t / 4 * 4) >> 8 * (t % 4);
            codes[t] = (four & 3) | (four & 12) << 6 | (four & 48) << 12 | (four & 192) << 18;
        }
        to.put_2_bits(32 + 128 * u, codes);
    }
}

// The 2-bit fields of Q2_K, Q3_K and TQ2_0: unit u lies in 32 bytes at shift 2 · (u % 4). All four are read
// from the same words.
void put_2_bits_of_units(Source from, std::size_t at, Target to, std::size_t first, std::size_t step) {
    for (int half = 0; half < 2; ++half) {
        Words words[8];
        for (int t = 0; t < 8; ++t) words[t] = from.word(at + 32 * half + 4 * t);
        for (int u = 0; u < 4; ++u) {
            to.put_2_bits(first + step * (4 * half + u), words);
            for (Words& word : words) word >>= 2;
        }
    }
}

// The bits of Q3_K and Q5_K: bit u of byte i is column i of unit u.
void put_bits_of_units(Source from, std::size_t at, Target to, std::size_t first, std::size_t step) {
    Words words[8];
    for (int t = 0; t < 8; ++t) words[t] = from.word(at + 4 * t);
    for (int u = 0; u < 8; ++u) {
        to.put_bits(first + step * u, words);
        for (Words& word : words) word >>= 1;
    }
}

void pack_tq2_0(Source from, Target to) {
    to.put_half(0, from.half(64));
    put_2_bits_of_units(from, 0, to, 32, 128);
}

// Base 3: the digit k of a byte b is (b · 3^k mod 256) · 3 >> 8. Widened to 2 bits here, 1.69 → 2.06 bits
// per weight: a product reads it as fast as TQ2_0, where five digits per byte would cost arithmetic.
void pack_tq1_0(Source from, Target to) {
    static constexpr std::uint32_t powers[5] = {1, 3, 9, 27, 81};
    const auto digits = [](Words bytes, int k) {
        const auto of = [k](Words two) {  // bytes in the low halves of 16 bits
            return ((two * powers[k] & 0x00ff00ffu) * 3 >> 8) & 0x00ff00ffu;
        };
        return of(bytes & 0x00ff00ffu) | of(bytes >> 8 & 0x00ff00ffu) << 8;
    };
    Words codes[64];
    int at = 0;
    for (int k = 0; k < 5; ++k)
        for (int i = 0; i < 8; ++i) codes[at++] = digits(from.word(4 * i), k);
    for (int k = 0; k < 5; ++k)
        for (int i = 8; i < 12; ++i) codes[at++] = digits(from.word(4 * i), k);
    for (int k = 0; k < 4; ++k) codes[at++] = digits(from.word(48), k);
    to.put_half(0, from.half(52));
    for (int u = 0; u < 8; ++u) to.put_2_bits(32 + 128 * u, codes + 8 * u);
}

void pack_q2_k(Source from, Target to) {
    to.put_half(0, from.half(80));
    to.put_half(32, from.half(82));
    for (int i = 0; i < 4; ++i) to.put_bytes(64 + 64 * i, from.word(4 * i));
    put_2_bits_of_units(from, 16, to, 320, 128);
}

void pack_q3_k(Source from, Target to) {
    to.put_half(0, from.half(108));
    // 16 scales: low nibbles of groups 0-3, 4-7 and, high, 8-11, 12-15; high 2 bits i of groups 4i + byte.
    const Words low[2] = {from.word(96), from.word(100)}, high = from.word(104);
    Words scales[4];
    for (int i = 0; i < 4; ++i)
        scales[i] = (low[i % 2] >> 4 * (i / 2) & 0x0f0f0f0fu) | (high >> 2 * i & 0x03030303u) << 4;
    // Even groups are the first of their units, odd ones the second: bytes 0 and 2, 1 and 3.
    const auto gather = [](Words a, Words b) {
        const auto two = [](Words w) { return (w & 0xff) | (w >> 8 & 0xff00); };
        return two(a) | two(b) << 16;
    };
    const Words first[2] = {gather(scales[0], scales[1]), gather(scales[2], scales[3])};
    const Words second[2] = {gather(scales[0] >> 8, scales[1] >> 8), gather(scales[2] >> 8, scales[3] >> 8)};
    to.put_6_bits(32, first, second);
    put_2_bits_of_units(from, 32, to, 224, 192);
    put_bits_of_units(from, 0, to, 224 + 128, 192);
}

// Scales, minimums and 4-bit codes of Q4_K and Q5_K.
void pack_k(Source from, std::size_t codes_at, Target to, std::size_t step) {
    to.put_half(0, from.half(0));
    to.put_half(32, from.half(2));
    const Words a = from.word(4), b = from.word(8), c = from.word(12);
    const Words scale[2] = {a & 0x3f3f3f3fu, (c & 0x0f0f0f0fu) | (a >> 2 & 0x30303030u)};
    const Words minimum[2] = {b & 0x3f3f3f3fu, (c >> 4 & 0x0f0f0f0fu) | (b >> 2 & 0x30303030u)};
    to.put_6_bits(64, scale, minimum);
    for (int pair = 0; pair < 4; ++pair) {  // 32 bytes hold two units, low and high
        Words words[8];
        for (int t = 0; t < 8; ++t) words[t] = from.word(codes_at + 32 * pair + 4 * t);
        to.put_nibbles(256 + step * (2 * pair), words);
        for (Words& word : words) word >>= 4;
        to.put_nibbles(256 + step * (2 * pair + 1), words);
    }
}

void pack_q4_k(Source from, Target to) { pack_k(from, 16, to, 256); }

void pack_q5_k(Source from, Target to) {
    pack_k(from, 48, to, 320);
    put_bits_of_units(from, 16, to, 256 + 256, 320);
}

void pack_q6_k(Source from, Target to) {
    to.put_half(0, from.half(208));
    for (int i = 0; i < 4; ++i) to.put_bytes(32 + 64 * i, from.word(192 + 4 * i));
    for (int u = 0; u < 8; ++u) {  // 4 units share 64 bytes of low and 32 bytes of high codes
        Words codes[8], fields[8];
        for (int t = 0; t < 8; ++t) {
            codes[t] = from.word(64 * (u / 4) + 32 * (u % 2) + 4 * t) >> (u % 4 / 2 * 4);
            fields[t] = from.word(128 + 32 * (u / 4) + 4 * t) >> 2 * (u % 4);
        }
        to.put_nibbles(288 + 384 * u, codes);
        to.put_2_bits(288 + 384 * u + 256, fields);
    }
}

void pack_iq4_xs(Source from, Target to) {
    to.put_half(0, from.half(0));
    to.put_bytes(32, from.word(4));
    const Words high = from.half(2);
    to.put_byte(96, high);
    to.put_byte(112, high >> 8);
    for (int u = 0; u < 8; ++u) put_halves_of_16(from, 8 + 16 * u, to, 128 + 256 * u);
}

// ---- formats whose codes name points of grids (see layouts_grids.hpp) ----

void pack_iq2_xxs(Source from, Target to) {
    to.put_half(0, from.half(0));
    for (int u = 0; u < 8; ++u) {
        to.put_bytes(32 + 128 * u, from.word(2 + 8 * u));
        to.put_word(32 + 128 * u + 64, from.word(2 + 8 * u + 4));
    }
}

void pack_iq2_xs(Source from, Target to) {
    to.put_half(0, from.half(0));
    for (int u = 0; u < 8; ++u) {
        for (int l = 0; l < 4; ++l) to.put_half(32 + 144 * u + 32 * l, from.half(2 + 8 * u + 2 * l));
        to.put_byte(32 + 144 * u + 128, from.byte(66 + u));
    }
}

void pack_iq2_s(Source from, Target to) {
    to.put_half(0, from.half(0));
    for (int u = 0; u < 8; ++u) {
        const std::size_t at = 32 + 160 * u;
        to.put_bytes(at, from.word(2 + 4 * u));
        to.put_bytes(at + 64, from.word(34 + 4 * u));
        to.put_byte(at + 128, from.byte(66 + u));
        to.put_byte(at + 144, from.byte(74 + u));
    }
}

void pack_iq3_xxs(Source from, Target to) {
    to.put_half(0, from.half(0));
    for (int u = 0; u < 8; ++u) {
        for (int i = 0; i < 2; ++i) to.put_bytes(32 + 192 * u + 64 * i, from.word(2 + 8 * u + 4 * i));
        to.put_word(32 + 192 * u + 128, from.word(66 + 4 * u));
    }
}

void pack_iq3_s(Source from, Target to) {
    to.put_half(0, from.half(0));
    to.put_bytes(32, from.word(106));
    for (int u = 0; u < 8; ++u) {
        const std::size_t at = 96 + 208 * u;
        for (int i = 0; i < 2; ++i) to.put_bytes(at + 64 * i, from.word(2 + 8 * u + 4 * i));
        to.put_byte(at + 128, from.byte(66 + u));
        to.put_bytes(at + 144, from.word(74 + 4 * u));
    }
}

void pack_iq1_s(Source from, Target to) {
    to.put_half(0, from.half(0));
    for (int u = 0; u < 8; ++u) {
        to.put_bytes(32 + 96 * u, from.word(2 + 4 * u));
        to.put_half(32 + 96 * u + 64, from.half(34 + 2 * u));
    }
}

void pack_iq1_m(Source from, Target to) {
    for (int i = 0; i < 4; ++i) to.put_half(32 * i, from.half(48 + 2 * i));
    for (int u = 0; u < 8; ++u) {
        to.put_bytes(128 + 96 * u, from.word(4 * u));
        for (int i = 0; i < 2; ++i) to.put_byte(128 + 96 * u + 64 + 16 * i, from.byte(32 + 2 * u + i));
    }
}

// Packs all blocks of 16 rows.
template <void (*pack)(Source, Target), Layout layout, std::size_t block_bytes>
void pack_rows(const std::uint8_t* rows, std::size_t row_bytes, std::uint8_t* panel) {
    for (std::size_t at = 0; at < row_bytes; at += block_bytes, panel += layout_shape(layout).bytes)
        pack({rows + at, row_bytes}, {panel});
}

template <void (*pack)(Source, Target), Layout layout, std::size_t block_bytes>
constexpr Packing row(const char* format) {
    return {format, layout, layout_shape(layout).units * unit_columns, block_bytes,
            pack_rows<pack, layout, block_bytes>};
}

// Packs rows of single elements: a column of the panel has 16 of them.
template <typename T, Layout layout>
constexpr Packing floats(const char* format) {
    return {format, layout, 1, sizeof(T),
            [](const std::uint8_t* rows, std::size_t row_bytes, std::uint8_t* panel) {
                typedef T Column __attribute__((vector_size(16 * sizeof(T))));
                for (std::size_t at = 0; at < row_bytes; at += sizeof(T), panel += sizeof(Column)) {
                    Column column;
                    for (int r = 0; r < 16; ++r) {
                        T value;
                        std::memcpy(&value, rows + std::size_t(r) * row_bytes + at, sizeof value);
                        column[r] = value;
                    }
                    std::memcpy(panel, &column, sizeof column);
                }
            }};
}

constexpr Packing rows[] = {
    floats<std::uint32_t, Layout::f32>("F32"),         floats<std::uint16_t, Layout::f16>("F16"),
    floats<std::uint16_t, Layout::bf16>("BF16"),       row<pack_q8_0, Layout::q8_0, 34>("Q8_0"),
    row<pack_q4_0, Layout::q4_0, 18>("Q4_0"),          row<pack_q4_1, Layout::q4_1, 20>("Q4_1"),
    row<pack_q5_0, Layout::q5_0, 22>("Q5_0"),          row<pack_q5_1, Layout::q5_1, 24>("Q5_1"),
    row<pack_q2_k, Layout::q2_k, 84>("Q2_K"),          row<pack_q3_k, Layout::q3_k, 110>("Q3_K"),
    row<pack_q4_k, Layout::q4_k, 144>("Q4_K"),         row<pack_q5_k, Layout::q5_k, 176>("Q5_K"),
    row<pack_q6_k, Layout::q6_k, 210>("Q6_K"),         row<pack_q4_0, Layout::iq4_nl, 18>("IQ4_NL"),
    row<pack_iq4_xs, Layout::iq4_xs, 136>("IQ4_XS"),   row<pack_tq1_0, Layout::tq2_0, 54>("TQ1_0"),
    row<pack_tq2_0, Layout::tq2_0, 66>("TQ2_0"),       row<pack_mxfp4, Layout::mxfp4, 17>("MXFP4"),
    row<pack_nvfp4, Layout::nvfp4, 36>("NVFP4"),       row<pack_q1_0, Layout::q1_0, 18>("Q1_0"),
    row<pack_q2_0, Layout::q2_0, 18>("Q2_0"),          row<pack_iq1_s, Layout::iq1_s, 50>("IQ1_S"),
    row<pack_iq1_m, Layout::iq1_m, 56>("IQ1_M"),       row<pack_iq2_xxs, Layout::iq2_xxs, 66>("IQ2_XXS"),
    row<pack_iq2_xs, Layout::iq2_xs, 74>("IQ2_XS"),    row<pack_iq2_s, Layout::iq2_s, 82>("IQ2_S"),
    row<pack_iq3_xxs, Layout::iq3_xxs, 98>("IQ3_XXS"), row<pack_iq3_s, Layout::iq3_s, 110>("IQ3_S"),
};

}  // namespace

PackingTable packings() { return {rows, sizeof rows / sizeof rows[0]}; }

}  // namespace zeropoint::ZEROPOINT_VARIANT
