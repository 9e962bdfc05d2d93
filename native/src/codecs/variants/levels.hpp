// The tables and one-byte scales of src/zeropoint/formats/nonlinear.py.
#pragma once
#include "codecs/variants/blocks.hpp"

namespace zeropoint {
namespace {

[[maybe_unused]] constexpr i8 iq4_levels[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                                1,    13,   25,  38,  53,  69,  89,  113};
[[maybe_unused]] constexpr i8 e2m1_doubled[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

// 2^(exponent − 128); the two smallest are subnormal.
[[maybe_unused]] float half_e8m0(u8 exponent) {
    return std::bit_cast<float>(exponent < 2 ? 0x00200000u << exponent : (exponent - 1u) << 23);
}

// Half of the value of the lower 7 bits as UE4M3; 127 means 0.
[[maybe_unused]] float half_ue4m3(u8 code) {
    const u32 low = code & 127u;
    if ((code & 0x80u) == 0 && low == 127) return 0;
    if (low < 8) return float(low) * 0x1p-10f;
    return std::bit_cast<float>((low << 20) + (119u << 23));
}

}  // namespace
}  // namespace zeropoint
