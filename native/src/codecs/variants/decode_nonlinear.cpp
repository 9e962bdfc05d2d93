// 4-bit codes that stand for a table's values; see src/zeropoint/formats/nonlinear.py.
#include "codecs/variants/decoders.hpp"
#include "codecs/variants/half.hpp"
#include "codecs/variants/levels.hpp"

namespace zeropoint::ZEROPOINT_VARIANT {
namespace {

// 2 · half codes of a group: its first `half` weights in the low nibbles, the others above.
template <int half>
void decode_group(const i8 (&levels)[16], float scale, const u8* codes, float* w) {
    for (int i = 0; i < half; ++i) w[i] = scale * float(levels[codes[i] & 15]);
    for (int i = 0; i < half; ++i) w[half + i] = scale * float(levels[codes[i] >> 4]);
}

}  // namespace

void decode_iq4_nl(const u8* blocks, float* weights, std::size_t n) {
    decode_each<BlockIQ4_NL, 32>(blocks, weights, n, [](const BlockIQ4_NL& block, float* w) {
        decode_group<16>(iq4_levels, half_to_float(block.scale), block.codes, w);
    });
}

void decode_iq4_xs(const u8* blocks, float* weights, std::size_t n) {
    decode_each<BlockIQ4_XS, 256>(blocks, weights, n, [](const BlockIQ4_XS& block, float* w) {
        const float d = half_to_float(block.d);
        for (int g = 0; g < 8; ++g) {
            const int low = block.groups_low[g / 2] >> g % 2 * 4 & 15, high = block.groups_high >> 2 * g & 3;
            decode_group<16>(iq4_levels, d * float((low | high << 4) - 32), block.codes + 16 * g, w + 32 * g);
        }
    });
}

void decode_mxfp4(const u8* blocks, float* weights, std::size_t n) {
    decode_each<BlockMXFP4, 32>(blocks, weights, n, [](const BlockMXFP4& block, float* w) {
        decode_group<16>(e2m1_doubled, half_e8m0(block.exponent), block.codes, w);
    });
}

void decode_nvfp4(const u8* blocks, float* weights, std::size_t n) {
    decode_each<BlockNVFP4, 64>(blocks, weights, n, [](const BlockNVFP4& block, float* w) {
        for (int g = 0; g < 4; ++g)
            decode_group<8>(e2m1_doubled, half_ue4m3(block.groups[g]), block.codes + 8 * g, w + 16 * g);
    });
}

}  // namespace zeropoint::ZEROPOINT_VARIANT
