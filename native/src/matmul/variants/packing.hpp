// Conversion of blocks of 16 rows to a block of a panel: every vector has one lane per row, whatever the
// processor's width, so that a word is read from 16 rows and written as one plane.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include "matmul/panels.hpp"

namespace zeropoint::ZEROPOINT_VARIANT {
namespace {

typedef std::uint32_t Words __attribute__((vector_size(64)));  // 16 lanes
typedef std::uint16_t Halves __attribute__((vector_size(32)));
typedef std::uint8_t Bytes __attribute__((vector_size(16)));

// The same block of 16 rows.
struct Source {
    const std::uint8_t* first;
    std::size_t stride;  // bytes from row to row

    // Loads four bytes of each row, from byte `at` of its block.
    Words word(std::size_t at) const {
        Words words;
        for (int r = 0; r < 16; ++r) {
            std::uint32_t value;
            std::memcpy(&value, first + std::size_t(r) * stride + at, 4);
            words[r] = value;
        }
        return words;
    }
    Words half(std::size_t at) const {
        Words words;
        for (int r = 0; r < 16; ++r) {
            std::uint16_t value;
            std::memcpy(&value, first + std::size_t(r) * stride + at, 2);
            words[r] = value;
        }
        return words;
    }
    Words byte(std::size_t at) const {
        Words words;
        for (int r = 0; r < 16; ++r) words[r] = first[std::size_t(r) * stride + at];
        return words;
    }
};

// A block of a panel; positions are bytes from its start.
struct Target {
    std::uint8_t* block;

    void put_word(std::size_t at, Words words) const { std::memcpy(block + at, &words, 64); }
    void put_half(std::size_t at, Words words) const {
        const Halves halves = __builtin_convertvector(words, Halves);
        std::memcpy(block + at, &halves, 32);
    }
    void put_byte(std::size_t at, Words words) const {
#if defined(__AVX512F__)
        _mm_storeu_si128((__m128i*)(block + at), _mm512_maskz_cvtepi32_epi8(0xffff, (__m512i)words));
#else
        const Bytes bytes = __builtin_convertvector(words, Bytes);
        std::memcpy(block + at, &bytes, 16);
#endif
    }
    // The four bytes of each word, as four planes.
    void put_bytes(std::size_t at, Words words) const {
        for (int i = 0; i < 4; ++i) put_byte(at + 16 * i, words >> 8 * i);
    }
    // 32 codes, four to a word, in order of columns.
    void put_nibbles(std::size_t at, const Words* codes) const {
        for (int j = 0; j < 4; ++j)
            put_word(at + 64 * j, (codes[j] & 0x0f0f0f0fu) | (codes[j + 4] & 0x0f0f0f0fu) << 4);
    }
    void put_2_bits(std::size_t at, const Words* codes) const {
        for (int i = 0; i < 2; ++i) {
            Words plane{};
            for (int k = 0; k < 4; ++k) plane |= (codes[4 * i + k] & 0x03030303u) << 2 * k;
            put_word(at + 64 * i, plane);
        }
    }
    void put_bits(std::size_t at, const Words* codes) const {
        Words plane{};
        for (int k = 0; k < 8; ++k) plane |= (codes[k] & 0x01010101u) << k;
        put_word(at, plane);
    }
    // 32 bits, bit i of which is column i.
    void put_bit_string(std::size_t at, Words bits) const {
        Words codes[8];
        for (int k = 0; k < 8; ++k) {
            const Words four = bits >> 4 * k;
            codes[k] = (four & 1) | (four & 2) << 7 | (four & 4) << 14 | (four & 8) << 21;
        }
        put_bits(at, codes);
    }
    // Two 6-bit numbers for each of 8 units (see read_6_bits); four units to a word.
    void put_6_bits(std::size_t at, const Words (&first)[2], const Words (&second)[2]) const {
        for (int i = 0; i < 2; ++i) {
            put_bytes(at + 64 * i, (first[i] & 0x0f0f0f0fu) | (second[i] & 0x0f0f0f0fu) << 4);
            const Words high = (first[i] >> 4 & 0x03030303u) | (second[i] >> 2 & 0x0c0c0c0cu);
            for (int pair = 0; pair < 2; ++pair) {
                const Words two = high >> 16 * pair;
                put_byte(at + 128 + 16 * (2 * i + pair), (two & 15) | (two >> 4 & 0xf0));
            }
        }
    }
};

}  // namespace
}  // namespace zeropoint::ZEROPOINT_VARIANT
