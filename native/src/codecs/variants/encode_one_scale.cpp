// The encoders of formats with one float16 scale per group; the specifications are encode_blocks of
// src/zeropoint/formats/{legacy,nonlinear,ternary}.py.
#include "codecs/variants/encoders.hpp"
#include "matmul/pack.hpp"
#include "codecs/variants/scale_search.hpp"

namespace zeropoint::ZEROPOINT_VARIANT {
namespace {

constexpr Scales q4_scales{{-8, 7}, 2, 0.6, 1.1, 12, 2.2f, 3, true};
constexpr Scales q5_scales{{-16, 15}, 2, 0.6, 1.056, 20, 2.2f, 3, true};
constexpr Scales q8_scales{{127, 0}, 1, 0.85, 1.0075, 24, 0, 0, false};
constexpr Scales iq4_scales{{-127, 113}, 2, 0.6, 1.072, 16, 2.2f, 3, true};
constexpr Scales q2_scales{{-1, 2}, 2, 0.6, 1.31, 8, 0, 0, true};
constexpr Scales ternary_scales{{1, 0}, 1, 0.4, 1.69, 8, 0, 0, false};

// Searches each group and calls pack(block, codes of its weights) to fill a block in.
template <typename Block, typename Levels, int Size, typename Pack>
ZEROPOINT_INLINE void encode_scaled(const Source& source, u8* blocks, std::size_t first, std::size_t count,
                                    const Scales& scales, Pack pack) {
    for_each_tile<Size>(source, 1, first, count, [&](auto& groups, std::size_t group, std::size_t used) {
        ScaleSearch<Levels, std::remove_reference_t<decltype(groups)>, Size> search(groups);
        const Ints bits = search.run(scales);
        const Codes<Levels, Size> codes([&](int k) { return search.ratio(k); });
        for (std::size_t i = 0; i < used; ++i) {
            Block block;
            block.scale = u16(bits[i]);
            pack(block, codes.rows[i]);
            std::memcpy(blocks + (group + i) * sizeof block, &block, sizeof block);
        }
    });
}

// `bytes` bytes, each of `digits` ternary digits that are `bytes` apart; see pack_trits in ternary.py.
template <int bytes, int digits>
void pack_trits(u8* packed, const u8* codes) {
    for (int i = 0; i < bytes; ++i) {
        u32 number = 0;
        for (int digit = 0; digit < 5; ++digit)
            number = 3 * number + (digit < digits ? codes[digit * bytes + i] : 0);
        packed[i] = u8((number * 256 + 242) / 243);
    }
}

}  // namespace

void encode_q4_0(const Source& source, u8* blocks, std::size_t first, std::size_t count) {
    encode_scaled<BlockQ4_0, Integers<-8, 7>, 32>(
        source, blocks, first, count, q4_scales,
        [](BlockQ4_0& block, const u8(&codes)[32]) { pack_nibbles(block.codes, codes); });
}

void encode_q5_0(const Source& source, u8* blocks, std::size_t first, std::size_t count) {
    encode_scaled<BlockQ5_0, Integers<-16, 15>, 32>(source, blocks, first, count, q5_scales,
                                                    [](BlockQ5_0& block, const u8(&codes)[32]) {
                                                        pack_fifth_bits(block.fifth, codes);
                                                        pack_nibbles(block.codes, codes);
                                                    });
}

void encode_q8_0(const Source& source, u8* blocks, std::size_t first, std::size_t count) {
    encode_scaled<BlockQ8_0, Integers<-127, 127>, 32>(source, blocks, first, count, q8_scales,
                                                      [](BlockQ8_0& block, const u8(&codes)[32]) {
                                                          for (int k = 0; k < 32; ++k)
                                                              block.codes[k] = i8(codes[k] - 127);
                                                      });
}

void encode_iq4_nl(const Source& source, u8* blocks, std::size_t first, std::size_t count) {
    encode_scaled<BlockIQ4_NL, Iq4, 32>(
        source, blocks, first, count, iq4_scales,
        [](BlockIQ4_NL& block, const u8(&codes)[32]) { pack_nibbles(block.codes, codes); });
}

void encode_q2_0(const Source& source, u8* blocks, std::size_t first, std::size_t count) {
    encode_scaled<BlockQ2_0, Integers<-1, 2>, 64>(
        source, blocks, first, count, q2_scales, [](BlockQ2_0& block, const u8(&codes)[64]) {
            for (int i = 0; i < 16; ++i) {
                const u8* four = codes + 4 * i;
                block.codes[i] = u8(four[0] | four[1] << 2 | four[2] << 4 | four[3] << 6);
            }
        });
}

void encode_tq1_0(const Source& source, u8* blocks, std::size_t first, std::size_t count) {
    encode_scaled<BlockTQ1_0, Integers<-1, 1>, 256>(source, blocks, first, count, ternary_scales,
                                                    [](BlockTQ1_0& block, const u8(&codes)[256]) {
                                                        pack_trits<32, 5>(block.codes, codes);
                                                        pack_trits<16, 5>(block.codes + 32, codes + 160);
                                                        pack_trits<4, 4>(block.codes + 48, codes + 240);
                                                    });
}

void encode_tq2_0(const Source& source, u8* blocks, std::size_t first, std::size_t count) {
    encode_scaled<BlockTQ2_0, Integers<-1, 1>, 256>(
        source, blocks, first, count, ternary_scales, [](BlockTQ2_0& block, const u8(&codes)[256]) {
            for (int i = 0; i < 64; ++i) {
                const u8* c = codes + i / 32 * 128 + i % 32;
                block.codes[i] = u8(c[0] | c[32] << 2 | c[64] << 4 | c[96] << 6);
            }
        });
}

void encode_q1_0(const Source& source, u8* blocks, std::size_t first, std::size_t count) {
    for_each_tile<128>(source, 1, first, count, [&](auto& groups, std::size_t group, std::size_t used) {
        Floats total = splat(0), weight = splat(0);
        for (int k = 0; k < 128; ++k) {
            total += groups.cost(k, absolute(groups.weights[k]));
            weight += groups.cost(k, splat(1));
        }
        const Ints bits = groups.stored(total / weight);
        for (std::size_t i = 0; i < used; ++i) {
            BlockQ1_0 block{u16(bits[i]), {}};
            const float* weights = source.weights + (group + i) * 128;
            for (int k = 0; k < 128; ++k) block.codes[k / 8] |= u8((weights[k] >= 0) << k % 8);
            std::memcpy(blocks + (group + i) * sizeof block, &block, sizeof block);
        }
    });
}

}  // namespace zeropoint::ZEROPOINT_VARIANT
