// The blocks of GGUF as structs, in the order of src/zeropoint/formats, whose docstrings explain what each
// field means. A std::uint16_t named scale, minimum, d or dmin is a float16.
#pragma once
#include <bit>
#include <cstdint>

namespace zeropoint {

static_assert(std::endian::native == std::endian::little, "files and structs share one byte order");

using u8 = std::uint8_t;
using i8 = std::int8_t;
using u16 = std::uint16_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;

// One line for each block.
// clang-format off

// legacy.py
struct BlockQ4_0 { u16 scale; u8 codes[16]; };
struct BlockQ4_1 { u16 scale, minimum; u8 codes[16]; };
struct BlockQ5_0 { u16 scale; u8 fifth[4], codes[16]; };
struct BlockQ5_1 { u16 scale, minimum; u8 fifth[4], codes[16]; };
struct BlockQ8_0 { u16 scale; i8 codes[32]; };
static_assert(sizeof(BlockQ4_0) == 18 && sizeof(BlockQ4_1) == 20 && sizeof(BlockQ5_0) == 22);
static_assert(sizeof(BlockQ5_1) == 24 && sizeof(BlockQ8_0) == 34);

// kquants.py
struct BlockQ2_K { u8 groups[16], codes[64]; u16 d, dmin; };
struct BlockQ3_K { u8 high[32], codes[64], groups[12]; u16 d; };
struct BlockQ4_K { u16 d, dmin; u8 groups[12], codes[128]; };
struct BlockQ5_K { u16 d, dmin; u8 groups[12], fifth[32], codes[128]; };
struct BlockQ6_K { u8 low[128], high[64]; i8 groups[16]; u16 d; };
static_assert(sizeof(BlockQ2_K) == 84 && sizeof(BlockQ3_K) == 110 && sizeof(BlockQ4_K) == 144);
static_assert(sizeof(BlockQ5_K) == 176 && sizeof(BlockQ6_K) == 210);

// nonlinear.py
struct BlockIQ4_NL { u16 scale; u8 codes[16]; };
struct BlockIQ4_XS { u16 d, groups_high; u8 groups_low[4], codes[128]; };
struct BlockMXFP4 { u8 exponent, codes[16]; };
struct BlockNVFP4 { u8 groups[4], codes[32]; };
static_assert(sizeof(BlockIQ4_NL) == 18 && sizeof(BlockIQ4_XS) == 136);
static_assert(sizeof(BlockMXFP4) == 17 && sizeof(BlockNVFP4) == 36);

// ternary.py
struct BlockQ1_0 { u16 scale; u8 codes[16]; };
struct BlockQ2_0 { u16 scale; u8 codes[16]; };
struct BlockTQ1_0 { u8 codes[52]; u16 scale; };
struct BlockTQ2_0 { u8 codes[64]; u16 scale; };
static_assert(sizeof(BlockQ1_0) == 18 && sizeof(BlockQ2_0) == 18);
static_assert(sizeof(BlockTQ1_0) == 54 && sizeof(BlockTQ2_0) == 66);

// iquants.py
struct BlockIQ1_S { u16 d; u8 codes[32]; u16 groups[8]; };
struct BlockIQ1_M { u8 codes[32], high[16]; u16 groups[4]; };
struct BlockIQ2_XXS { u16 d; u8 groups[64]; };
struct BlockIQ2_XS { u16 d, codes[32]; u8 groups[8]; };
struct BlockIQ2_S { u16 d; u8 codes[32], signs[32], high[8], groups[8]; };
struct BlockIQ3_XXS { u16 d; u8 codes[64], groups[32]; };
struct BlockIQ3_S { u16 d; u8 codes[64], ninth[8], signs[32], groups[4]; };
static_assert(sizeof(BlockIQ1_S) == 50 && sizeof(BlockIQ1_M) == 56 && sizeof(BlockIQ2_XXS) == 66);
static_assert(sizeof(BlockIQ2_XS) == 74 && sizeof(BlockIQ2_S) == 82);
static_assert(sizeof(BlockIQ3_XXS) == 98 && sizeof(BlockIQ3_S) == 110);

// clang-format on

}  // namespace zeropoint
