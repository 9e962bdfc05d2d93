// Codes that name points of grids; see src/zeropoint/formats/iquants.py.
#include "codecs/variants/decoders.hpp"
#include "grids.hpp"
#include "codecs/variants/half.hpp"

namespace zeropoint::ZEROPOINT_VARIANT {
namespace {

// 8 weights of a point whose signs are bits (1 is minus).
void decode_point(u64 point, u32 signs, float scale, float* w) {
    for (int i = 0; i < 8; ++i) {
        const u32 magnitude = std::bit_cast<u32>(scale * float(u8(point >> 8 * i)));
        w[i] = std::bit_cast<float>(magnitude ^ (signs >> i & 1u) << 31);
    }
}

// 8 weights of a point of IQ1: levels −1, 0, 1, all shifted.
void decode_shifted(u64 point, float shift, float scale, float* w) {
    for (int i = 0; i < 8; ++i) w[i] = scale * (float(i8(point >> 8 * i)) + shift);
}

u64 pair(u32 first, u32 second) { return first | u64(second) << 32; }

float half_scale(float d, u32 s, float factor) { return d * (0.5f + float(s)) * factor; }
float odd_scale(float d, u32 s) { return d * float(1 + 2 * s); }
float shift_of(bool negative) { return negative ? -0.125f : 0.125f; }

}  // namespace

void decode_iq2_xxs(const u8* blocks, float* weights, std::size_t n) {
    decode_each<BlockIQ2_XXS, 256>(blocks, weights, n, [](const BlockIQ2_XXS& block, float* w) {
        const float d = half_to_float(block.d);
        for (int g = 0; g < 8; ++g) {
            const u8* codes = block.groups + 8 * g;
            u32 word;
            std::memcpy(&word, codes + 4, 4);
            const float scale = half_scale(d, word >> 28, 0.25f);
            for (int k = 0; k < 4; ++k)
                decode_point(grid_iq2_xxs[codes[k]], even_signs[word >> 7 * k & 127], scale,
                             w + 32 * g + 8 * k);
        }
    });
}

void decode_iq2_xs(const u8* blocks, float* weights, std::size_t n) {
    decode_each<BlockIQ2_XS, 256>(blocks, weights, n, [](const BlockIQ2_XS& block, float* w) {
        const float d = half_to_float(block.d);
        for (int k = 0; k < 32; ++k) {
            const float scale = half_scale(d, block.groups[k / 4] >> k / 2 % 2 * 4 & 15, 0.25f);
            decode_point(grid_iq2_xs[block.codes[k] & 511], even_signs[block.codes[k] >> 9], scale,
                         w + 8 * k);
        }
    });
}

void decode_iq2_s(const u8* blocks, float* weights, std::size_t n) {
    decode_each<BlockIQ2_S, 256>(blocks, weights, n, [](const BlockIQ2_S& block, float* w) {
        const float d = half_to_float(block.d);
        for (int k = 0; k < 32; ++k) {
            const float scale = half_scale(d, block.groups[k / 4] >> k / 2 % 2 * 4 & 15, 0.25f);
            const int code = block.codes[k] | (block.high[k / 4] >> k % 4 * 2 & 3) << 8;
            decode_point(grid_iq2_s[code], block.signs[k], scale, w + 8 * k);
        }
    });
}

void decode_iq3_xxs(const u8* blocks, float* weights, std::size_t n) {
    decode_each<BlockIQ3_XXS, 256>(blocks, weights, n, [](const BlockIQ3_XXS& block, float* w) {
        const float d = half_to_float(block.d);
        for (int g = 0; g < 8; ++g) {
            u32 word;
            std::memcpy(&word, block.groups + 4 * g, 4);
            const float scale = half_scale(d, word >> 28, 0.5f);
            for (int k = 0; k < 4; ++k) {
                const u8* codes = block.codes + 8 * g + 2 * k;
                decode_point(pair(grid_iq3_xxs[codes[0]], grid_iq3_xxs[codes[1]]),
                             even_signs[word >> 7 * k & 127], scale, w + 32 * g + 8 * k);
            }
        }
    });
}

void decode_iq3_s(const u8* blocks, float* weights, std::size_t n) {
    decode_each<BlockIQ3_S, 256>(blocks, weights, n, [](const BlockIQ3_S& block, float* w) {
        const float d = half_to_float(block.d);
        for (int k = 0; k < 32; ++k) {
            const float scale = odd_scale(d, block.groups[k / 8] >> k / 4 % 2 * 4 & 15);
            const int ninth = block.ninth[k / 4] >> k % 4 * 2;
            const int first = block.codes[2 * k] | (ninth & 1) << 8;
            const int second = block.codes[2 * k + 1] | (ninth & 2) << 7;
            decode_point(pair(grid_iq3_s[first], grid_iq3_s[second]), block.signs[k], scale, w + 8 * k);
        }
    });
}

void decode_iq1_s(const u8* blocks, float* weights, std::size_t n) {
    decode_each<BlockIQ1_S, 256>(blocks, weights, n, [](const BlockIQ1_S& block, float* w) {
        const float d = half_to_float(block.d);
        for (int k = 0; k < 32; ++k) {
            const u32 word = block.groups[k / 4];
            const float scale = odd_scale(d, word >> 12 & 7);
            const u32 code = block.codes[k] | (word >> k % 4 * 3 & 7) << 8;
            decode_shifted(grid_iq1_s[code], shift_of(word & 0x8000u), scale, w + 8 * k);
        }
    });
}

void decode_iq1_m(const u8* blocks, float* weights, std::size_t n) {
    decode_each<BlockIQ1_M, 256>(blocks, weights, n, [](const BlockIQ1_M& block, float* w) {
        u32 bits = 0;
        for (int k = 0; k < 4; ++k) bits |= u32(block.groups[k] >> 12) << 4 * k;
        const float d = half_to_float(u16(bits));
        for (int k = 0; k < 32; ++k) {
            const float scale = odd_scale(d, block.groups[k / 8] >> k / 2 % 4 * 3 & 7);
            const u32 high = block.high[k / 2] >> k % 2 * 4;
            const u32 code = block.codes[k] | (high & 7) << 8;
            decode_shifted(grid_iq1_s[code], shift_of(high & 8), scale, w + 8 * k);
        }
    });
}

}  // namespace zeropoint::ZEROPOINT_VARIANT
