// Numbers that are stored one by one, rounded to nearest even; see src/zeropoint/formats/scalars.py.
// Values that would round to infinity are refused before this is called (the formats' limit).
#include <bit>
#include <cstring>

#include "codecs/variants/blocks.hpp"
#include "codecs/variants/encoders.hpp"
#include "codecs/variants/half.hpp"

namespace zeropoint::ZEROPOINT_VARIANT {

void encode_f32(const Source& source, u8* blocks, std::size_t first, std::size_t count) {
    std::memcpy(blocks + 4 * first, source.weights + first, 4 * count);
}

void encode_f16(const Source& source, u8* blocks, std::size_t first, std::size_t count) {
    for (std::size_t i = first; i < first + count; ++i) {
        const u16 half = float_to_half(source.weights[i]);
        std::memcpy(blocks + 2 * i, &half, 2);
    }
}

void encode_bf16(const Source& source, u8* blocks, std::size_t first, std::size_t count) {
    for (std::size_t i = first; i < first + count; ++i) {
        const u32 bits = std::bit_cast<u32>(source.weights[i]);
        const u16 upper = u16((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
        std::memcpy(blocks + 2 * i, &upper, 2);
    }
}

}  // namespace zeropoint::ZEROPOINT_VARIANT
