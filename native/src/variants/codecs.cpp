// The codecs of one variant: decode and encode for every format, as `formats` specifies them.
#include <array>
#include <bit>
#include <cstring>

#include "zeropoint/codec.hpp"
#include "zeropoint/half.hpp"

namespace zeropoint::ZEROPOINT_VARIANT {
namespace {

struct BlockQ8_0 {
    std::uint16_t scale;  // f16
    std::int8_t codes[32];
};
static_assert(sizeof(BlockQ8_0) == 34);

void decode_q8_0(const std::uint8_t* blocks, float* weights, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) {
        BlockQ8_0 block;
        std::memcpy(&block, blocks + i * sizeof block, sizeof block);
        const float scale = half_to_float(block.scale);
        for (int k = 0; k < 32; ++k) weights[i * 32 + k] = scale * float(block.codes[k]);
    }
}

constexpr std::array rows{
    Codec{"Q8_0", 32, sizeof(BlockQ8_0), decode_q8_0, nullptr},
};

}  // namespace

CodecTable codecs() { return {rows.data(), rows.size()}; }

}  // namespace zeropoint::ZEROPOINT_VARIANT
