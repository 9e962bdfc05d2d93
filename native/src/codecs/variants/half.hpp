// float16 <-> float32 by integer arithmetic: the same bits with and without F16C.
#pragma once
#include <bit>
#include <cstdint>

namespace zeropoint {
// Everything below has internal linkage, so that each variant has its own copy, compiled for its own
// instruction set. The linker would merge shared inline functions into one of the copies.
namespace {

[[maybe_unused]] float half_to_float(std::uint16_t half) {
    const std::uint32_t sign = std::uint32_t(half & 0x8000u) << 16;
    const std::uint32_t magnitude = half & 0x7fffu;
    if (magnitude >= 0x7c00u)  // infinity, or NaN with its payload
        return std::bit_cast<float>(sign | 0x7f800000u | (magnitude & 0x3ffu) << 13);
    if (magnitude < 0x0400u)  // zero or subnormal: magnitude · 2^-24, exact
        return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(float(magnitude) * 0x1p-24f));
    return std::bit_cast<float>(sign | ((magnitude << 13) + (112u << 23)));
}

// Round to nearest, ties to even; overflow to infinity, as IEEE 754 and numpy do.
[[maybe_unused]] std::uint16_t float_to_half(float value) {
    const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
    const std::uint16_t sign = std::uint16_t(bits >> 16 & 0x8000u);
    std::uint32_t magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return std::uint16_t(sign | 0x7e00u);
    if (magnitude >= 0x477ff000u) return std::uint16_t(sign | 0x7c00u);
    if (magnitude < 0x38800000u) {  // subnormal in float16: adding 0.5 rounds at 2^-24
        const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
        return std::uint16_t(sign | (std::bit_cast<std::uint32_t>(shifted) - 0x3f000000u));
    }
    magnitude += 0xfffu + (magnitude >> 13 & 1u);
    return std::uint16_t(sign | ((magnitude - (112u << 23)) >> 13));
}

}  // namespace
}  // namespace zeropoint
