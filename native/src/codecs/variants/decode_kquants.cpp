// 256 weights whose groups have quantized scales; see src/zeropoint/formats/kquants.py.
#include "codecs/variants/decoders.hpp"
#include "codecs/variants/half.hpp"

namespace zeropoint::ZEROPOINT_VARIANT {
namespace {

// Scales and minimums of 8 groups, 6 bits each, from the 12 bytes of Q4_K and Q5_K.
struct GroupPairs {
    float scale[8], minimum[8];  // the minimum is to be subtracted
    GroupPairs(u16 d, u16 dmin, const u8 (&bytes)[12]) {
        const float factor = half_to_float(d), subtracted = half_to_float(dmin);
        for (int g = 0; g < 4; ++g) {
            scale[g] = factor * float(bytes[g] & 63);
            minimum[g] = subtracted * float(bytes[4 + g] & 63);
            scale[4 + g] = factor * float((bytes[8 + g] & 15) | (bytes[g] >> 6) << 4);
            minimum[4 + g] = subtracted * float(bytes[8 + g] >> 4 | (bytes[4 + g] >> 6) << 4);
        }
    }
};

}  // namespace

void decode_q2_k(const u8* blocks, float* weights, std::size_t n) {
    decode_each<BlockQ2_K, 256>(blocks, weights, n, [](const BlockQ2_K& block, float* w) {
        const float d = half_to_float(block.d), dmin = half_to_float(block.dmin);
        for (int g = 0; g < 16; ++g) {  // group g: half g / 8, bits 2 · (g / 2 % 4), 16 of 32 bytes
            const float scale = d * float(block.groups[g] & 15), minimum = dmin * float(block.groups[g] >> 4);
            const u8* codes = block.codes + g / 8 * 32 + g % 2 * 16;
            const int shift = g / 2 % 4 * 2;
            for (int i = 0; i < 16; ++i) w[16 * g + i] = scale * float(codes[i] >> shift & 3) - minimum;
        }
    });
}

void decode_q3_k(const u8* blocks, float* weights, std::size_t n) {
    decode_each<BlockQ3_K, 256>(blocks, weights, n, [](const BlockQ3_K& block, float* w) {
        const float d = half_to_float(block.d);
        for (int g = 0; g < 16; ++g) {
            const int low = block.groups[g % 8] >> g / 8 * 4 & 15,
                      high = block.groups[8 + g % 4] >> g / 4 * 2 & 3;
            const float scale = d * float((low | high << 4) - 32);
            const u8* codes = block.codes + g / 8 * 32 + g % 2 * 16;
            const u8* tops = block.high + g % 2 * 16;
            const int shift = g / 2 % 4 * 2, bit = g / 2;
            for (int i = 0; i < 16; ++i)
                w[16 * g + i] = scale * float((codes[i] >> shift & 3) + (tops[i] >> bit & 1) * 4 - 4);
        }
    });
}

void decode_q4_k(const u8* blocks, float* weights, std::size_t n) {
    decode_each<BlockQ4_K, 256>(blocks, weights, n, [](const BlockQ4_K& block, float* w) {
        const GroupPairs groups(block.d, block.dmin, block.groups);
        for (int g = 0; g < 8; ++g) {
            const float scale = groups.scale[g], minimum = groups.minimum[g];
            const u8* codes = block.codes + g / 2 * 32;
            const int shift = g % 2 * 4;
            for (int i = 0; i < 32; ++i) w[32 * g + i] = scale * float(codes[i] >> shift & 15) - minimum;
        }
    });
}

void decode_q5_k(const u8* blocks, float* weights, std::size_t n) {
    decode_each<BlockQ5_K, 256>(blocks, weights, n, [](const BlockQ5_K& block, float* w) {
        const GroupPairs groups(block.d, block.dmin, block.groups);
        for (int g = 0; g < 8; ++g) {
            const float scale = groups.scale[g], minimum = groups.minimum[g];
            const u8* codes = block.codes + g / 2 * 32;
            const int shift = g % 2 * 4;
            for (int i = 0; i < 32; ++i)
                w[32 * g + i] =
                    scale * float((codes[i] >> shift & 15) | (block.fifth[i] >> g & 1) << 4) - minimum;
        }
    });
}

void decode_q6_k(const u8* blocks, float* weights, std::size_t n) {
    decode_each<BlockQ6_K, 256>(blocks, weights, n, [](const BlockQ6_K& block, float* w) {
        const float d = half_to_float(block.d);
        for (int g = 0; g < 16; ++g) {  // group g: half g / 8, 16 weights from 16 · (g % 8) on
            const float scale = d * float(block.groups[g]);
            const u8* low = block.low + g / 8 * 64 + g % 4 * 16;
            const u8* high = block.high + g / 8 * 32 + g % 2 * 16;
            const int low_shift = g / 4 % 2 * 4, high_shift = g / 2 % 4 * 2;
            for (int i = 0; i < 16; ++i)
                w[16 * g + i] =
                    scale * float(((low[i] >> low_shift & 15) | (high[i] >> high_shift & 3) << 4) - 32);
        }
    });
}

}  // namespace zeropoint::ZEROPOINT_VARIANT
