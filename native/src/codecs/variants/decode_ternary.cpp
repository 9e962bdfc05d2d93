// At most four levels; see src/zeropoint/formats/ternary.py.
#include "codecs/variants/decoders.hpp"
#include "codecs/variants/half.hpp"

namespace zeropoint::ZEROPOINT_VARIANT {
namespace {

// `bytes` bytes of `digits` ternary digits each.
template <int bytes, int digits>
void decode_trits(const u8* codes, float scale, float* w) {
    for (int digit = 0, power = 1; digit < digits; ++digit, power *= 3)
        for (int i = 0; i < bytes; ++i) {
            const int shifted = codes[i] * power & 255;
            w[digit * bytes + i] = scale * float((shifted * 3 >> 8) - 1);
        }
}

}  // namespace

void decode_q1_0(const u8* blocks, float* weights, std::size_t n) {
    decode_each<BlockQ1_0, 128>(blocks, weights, n, [](const BlockQ1_0& block, float* w) {
        const u32 scale = std::bit_cast<u32>(half_to_float(block.scale));
        for (int i = 0; i < 128; ++i) {
            const u32 minus = ~u32(block.codes[i / 8] >> i % 8) & 1u;
            w[i] = std::bit_cast<float>(scale ^ minus << 31);
        }
    });
}

void decode_q2_0(const u8* blocks, float* weights, std::size_t n) {
    decode_each<BlockQ2_0, 64>(blocks, weights, n, [](const BlockQ2_0& block, float* w) {
        const float scale = half_to_float(block.scale);
        for (int i = 0; i < 64; ++i) w[i] = scale * float((block.codes[i / 4] >> i % 4 * 2 & 3) - 1);
    });
}

void decode_tq1_0(const u8* blocks, float* weights, std::size_t n) {
    decode_each<BlockTQ1_0, 256>(blocks, weights, n, [](const BlockTQ1_0& block, float* w) {
        const float scale = half_to_float(block.scale);
        decode_trits<32, 5>(block.codes, scale, w);
        decode_trits<16, 5>(block.codes + 32, scale, w + 160);
        decode_trits<4, 4>(block.codes + 48, scale, w + 240);
    });
}

void decode_tq2_0(const u8* blocks, float* weights, std::size_t n) {
    decode_each<BlockTQ2_0, 256>(blocks, weights, n, [](const BlockTQ2_0& block, float* w) {
        const float scale = half_to_float(block.scale);
        for (int run = 0; run < 8; ++run)
            for (int i = 0; i < 32; ++i)
                w[32 * run + i] = scale * float((block.codes[run / 4 * 32 + i] >> run % 4 * 2 & 3) - 1);
    });
}

}  // namespace zeropoint::ZEROPOINT_VARIANT
