// How one row's blocks become its lanes of panels; private to the sources of the packing.
#pragma once
#include <cstring>
#include <span>

#include "zeropoint/panels.hpp"

namespace zeropoint {

inline std::uint32_t word(const std::uint8_t* from) {
    std::uint32_t value;
    std::memcpy(&value, from, 4);
    return value;
}

// Where one row's share of a block of a panel goes.
struct Lane {
    std::uint8_t* block;
    std::size_t row;

    void put_byte(std::size_t at, unsigned value) const { block[at + row] = std::uint8_t(value); }
    void put_half(std::size_t at, const std::uint8_t* half) const {
        std::memcpy(block + at + 2 * row, half, 2);
    }
    void put_word(std::size_t at, std::uint32_t value) const {
        std::memcpy(block + at + 4 * row, &value, 4);
    }
    void put_bytes(std::size_t at, const std::uint8_t* bytes, int planes) const {
        for (int i = 0; i < planes; ++i) put_byte(at + 16 * i, bytes[i]);
    }
    // 8 words of four 4-bit codes each, in order of columns.
    void put_nibbles(std::size_t at, const std::uint32_t* codes) const {
        for (int j = 0; j < 4; ++j)
            put_word(at + 64 * j, (codes[j] & 0x0f0f0f0fu) | (codes[j + 4] & 0x0f0f0f0fu) << 4);
    }
    void put_crumbs(std::size_t at, const std::uint32_t* codes) const {
        for (int i = 0; i < 2; ++i) {
            std::uint32_t plane = 0;
            for (int k = 0; k < 4; ++k) plane |= (codes[4 * i + k] & 0x03030303u) << 2 * k;
            put_word(at + 64 * i, plane);
        }
    }
    void put_bits(std::size_t at, const std::uint32_t* codes) const {
        std::uint32_t plane = 0;
        for (int k = 0; k < 8; ++k) plane |= (codes[k] & 0x01010101u) << k;
        put_word(at, plane);
    }
    // 4-bit codes as ggml stores 32 of them: byte i is column i and, high, column i + 16.
    void put_halves_of_16(std::size_t at, const std::uint8_t* bytes) const {
        for (int j = 0; j < 4; ++j) put_word(at + 64 * j, word(bytes + 4 * j));
    }
    // 32 bits, bit i of which is column i.
    void put_bit_string(std::size_t at, std::uint32_t bits) const {
        std::uint32_t codes[8];
        for (int k = 0; k < 8; ++k) {
            const std::uint32_t four = bits >> 4 * k;
            codes[k] = (four & 1) | (four & 2) << 7 | (four & 4) << 14 | (four & 8) << 21;
        }
        put_bits(at, codes);
    }
    // Two 6-bit numbers for each of 8 units (see read_sixes).
    void put_sixes(std::size_t at, const unsigned (&first)[8], const unsigned (&second)[8]) const {
        for (int u = 0; u < 8; ++u) put_byte(at + 16 * u, (first[u] & 15) | (second[u] & 15) << 4);
        for (int u = 0; u < 8; u += 2)
            put_byte(at + 128 + 8 * u, first[u] >> 4 | (second[u] >> 4) << 2 | (first[u + 1] >> 4) << 4 |
                                           (second[u + 1] >> 4) << 6);
    }
};

struct Packing {
    const char* format;
    Layout layout;
    std::size_t block_bytes;  // of the format; it has as many columns as the layout's block
    void (*pack)(const std::uint8_t* from, Lane to);
};

std::span<const Packing> grid_packings();  // of the formats whose codes name points of grids

}  // namespace zeropoint
