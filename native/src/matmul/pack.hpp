// Packs the codes of 32 weights into the bytes of a block.
#pragma once
#include <cstring>

#include "codecs/variants/blocks.hpp"

namespace zeropoint {
namespace {

// Weights 0-15 in the low halves of the bytes, 16-31 above.
[[maybe_unused]] void pack_nibbles(u8 (&bytes)[16], const u8 (&codes)[32]) {
    for (int k = 0; k < 16; ++k) bytes[k] = u8((codes[k] & 15) | codes[k + 16] << 4);
}

// Bit 4 of weight k as bit k.
[[maybe_unused]] void pack_fifth_bits(u8 (&bytes)[4], const u8 (&codes)[32]) {
    u32 bits = 0;
    for (int k = 0; k < 32; ++k) bits |= u32(codes[k] >> 4 & 1) << k;
    std::memcpy(bytes, &bits, sizeof bits);
}

}  // namespace
}  // namespace zeropoint
