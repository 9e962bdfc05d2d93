// 32 weights, one scale, perhaps a minimum; see src/zeropoint/formats/legacy.py.
#include "codecs/variants/decoders.hpp"
#include "codecs/variants/half.hpp"

namespace zeropoint::ZEROPOINT_VARIANT {
namespace {

// The fifth bits of 32 codes, at their place: 16 or 0.
struct Fifth {
    u8 bits[32];
    explicit Fifth(const u8 (&bytes)[4]) {
        for (int i = 0; i < 32; ++i) bits[i] = u8((bytes[i / 8] >> (i % 8) & 1) << 4);
    }
};

}  // namespace

void decode_q4_0(const u8* blocks, float* weights, std::size_t n) {
    decode_each<BlockQ4_0, 32>(blocks, weights, n, [](const BlockQ4_0& block, float* w) {
        const float scale = half_to_float(block.scale);
        for (int i = 0; i < 16; ++i) w[i] = scale * float((block.codes[i] & 15) - 8);
        for (int i = 0; i < 16; ++i) w[16 + i] = scale * float((block.codes[i] >> 4) - 8);
    });
}

void decode_q4_1(const u8* blocks, float* weights, std::size_t n) {
    decode_each<BlockQ4_1, 32>(blocks, weights, n, [](const BlockQ4_1& block, float* w) {
        const float scale = half_to_float(block.scale), minimum = half_to_float(block.minimum);
        for (int i = 0; i < 16; ++i) w[i] = scale * float(block.codes[i] & 15) + minimum;
        for (int i = 0; i < 16; ++i) w[16 + i] = scale * float(block.codes[i] >> 4) + minimum;
    });
}

void decode_q5_0(const u8* blocks, float* weights, std::size_t n) {
    decode_each<BlockQ5_0, 32>(blocks, weights, n, [](const BlockQ5_0& block, float* w) {
        const float scale = half_to_float(block.scale);
        const Fifth fifth(block.fifth);
        for (int i = 0; i < 16; ++i) w[i] = scale * float(((block.codes[i] & 15) | fifth.bits[i]) - 16);
        for (int i = 0; i < 16; ++i)
            w[16 + i] = scale * float((block.codes[i] >> 4 | fifth.bits[16 + i]) - 16);
    });
}

void decode_q5_1(const u8* blocks, float* weights, std::size_t n) {
    decode_each<BlockQ5_1, 32>(blocks, weights, n, [](const BlockQ5_1& block, float* w) {
        const float scale = half_to_float(block.scale), minimum = half_to_float(block.minimum);
        const Fifth fifth(block.fifth);
        for (int i = 0; i < 16; ++i) w[i] = scale * float((block.codes[i] & 15) | fifth.bits[i]) + minimum;
        for (int i = 0; i < 16; ++i)
            w[16 + i] = scale * float(block.codes[i] >> 4 | fifth.bits[16 + i]) + minimum;
    });
}

void decode_q8_0(const u8* blocks, float* weights, std::size_t n) {
    decode_each<BlockQ8_0, 32>(blocks, weights, n, [](const BlockQ8_0& block, float* w) {
        const float scale = half_to_float(block.scale);
        for (int i = 0; i < 32; ++i) w[i] = scale * float(block.codes[i]);
    });
}

}  // namespace zeropoint::ZEROPOINT_VARIANT
