// Shared by the encoders of 256-weight blocks: a tile of blocks side by side, one per lane, and the steps
// before and after the search. The same operations as src/zeropoint/formats/encoders/superblock_math.py.
#pragma once
#include <algorithm>
#include <cstdint>

#include "codecs/codec.hpp"
#include "codecs/variants/half.hpp"
#include "simd/block_vectors.hpp"

namespace zeropoint {
namespace {

constexpr int block_weights = 256;
constexpr float largest_half = 65504.0f;

struct Tile {
    Floats weights[block_weights];     // weight k of every block, in units of `unit`; in the end its code
    Floats importance[block_weights];  // likewise; unused without importance
    Floats unit, inverse_unit;         // a power of two for each block

    ZEROPOINT_INLINE Ints code(int k) const { return floats_to_bits(weights[k]); }
    ZEROPOINT_INLINE void set_code(int k, Ints code) { weights[k] = bits_to_floats(code); }
};

// A float16 factor of every block: as it is stored, and in units of the block.
struct Factor {
    Floats value;
    Ints half;
};

ZEROPOINT_INLINE Factor choose(Ints mask, const Factor& yes, const Factor& no) {
    return {select(mask, yes.value, no.value), mask ? yes.half : no.half};
}

// The float16 nearest to `wanted`: at most the largest finite one, and 0 only if `wanted` is 0.
[[maybe_unused]] Factor round_factor(Floats wanted, const Tile& tile) {
    const Floats real = wanted * tile.unit;
    Factor factor;
    for (int i = 0; i < lanes; ++i) {
        const float value = std::min(std::max(real[i], -largest_half), largest_half);
        std::uint16_t half = float_to_half(value);
        if (!(half & 0x7fffu)) half = wanted[i] < 0.0f ? 0x8001u : 0x0001u;
        if (wanted[i] == 0.0f) half = 0;
        factor.half[i] = half;
        factor.value[i] = half_to_float(half);
    }
    factor.value *= tile.inverse_unit;
    return factor;
}

// The power of two below each positive value, within 2^-126 and 2^126, and its inverse.
ZEROPOINT_INLINE void power_below(Floats values, Floats& power, Floats& inverse_power) {
    Ints exponent = floats_to_bits(values) >> 23;
    exponent = exponent < 1 ? splat_int(1) : exponent;
    exponent = exponent > 253 ? splat_int(253) : exponent;
    power = bits_to_floats(exponent << 23);
    inverse_power = bits_to_floats((254 - exponent) << 23);
}

// Importance that is the same in every column has no effect, so it counts as none.
[[maybe_unused]] bool is_weighted(const Source& source) {
    if (!source.importance) return false;
    const std::size_t columns = source.blocks_per_row * block_weights;
    return std::any_of(source.importance, source.importance + columns,
                       [&](float value) { return value != source.importance[0]; });
}

// Importance in units of the block's largest, times sqrt(2 · mean square + weight²), so that an error in a
// large weight costs more. Clamped to at least 2^-30, so that no weight is ignored.
ZEROPOINT_INLINE void scale_importance(Tile& tile) {
    Floats largest = splat(0), squares = splat(0), power, inverse_power;
    for (const Floats& w : tile.importance) largest = larger(largest, w);
    power_below(largest, power, inverse_power);
    for (const Floats& x : tile.weights) squares += x * x;
    const Floats spread = squares * (2.0f / block_weights);
    for (int k = 0; k < block_weights; ++k) {
        const Floats x = tile.weights[k];
        const Floats w = (tile.importance[k] * inverse_power) * square_root(spread + x * x);
        tile.importance[k] = larger(w, splat(0x1p-30f));
    }
}

// Loads blocks [first, first + count), count <= lanes; the remaining lanes repeat the last block. Weights are
// clamped to low … high, the smallest and the largest that the format can represent.
template <bool Weighted>
ZEROPOINT_INLINE void load_tile(Tile& tile, const Source& source, std::size_t first, std::size_t count,
                                float low, float high) {
    const float *weights[lanes], *importance[lanes];
    for (std::size_t i = 0; i < lanes; ++i) {
        const std::size_t block = first + std::min(i, count - 1);
        weights[i] = source.weights + block * block_weights;
        if constexpr (Weighted)
            importance[i] = source.importance + block % source.blocks_per_row * block_weights;
    }
    load_columns(weights, tile.weights);
    Floats largest = splat(0);
    for (Floats& weight : tile.weights)
        largest = larger(largest, absolute(weight = clamp(weight, low, high)));
    power_below(largest, tile.unit, tile.inverse_unit);
    for (Floats& weight : tile.weights) weight *= tile.inverse_unit;
    if constexpr (Weighted) {
        load_columns(importance, tile.importance);
        scale_importance(tile);
    }
}

// Likewise, with importance 1 if the source is not `weighted`, as `is_weighted` says.
ZEROPOINT_INLINE void load_tile_with_costs(Tile& tile, const Source& source, bool weighted, std::size_t first,
                                           std::size_t count, float reach) {
    if (weighted) {
        load_tile<true>(tile, source, first, count, -reach, reach);
    } else {
        load_tile<false>(tile, source, first, count, -reach, reach);
        std::fill(std::begin(tile.importance), std::end(tile.importance), splat(1));
    }
}

// Σ importance · weight² of `Size` weights from `first` on: their error if all are encoded as 0.
template <int Size>
ZEROPOINT_INLINE Floats error_of_zeros(const Tile& tile, int first) {
    Floats error = splat(0);
    for (int k = first; k < first + Size; ++k)
        error += (tile.weights[k] * tile.weights[k]) * tile.importance[k];
    return error;
}

// Writes the blocks of the first `count` lanes, four bytes of each word; the unused bytes of the last word are dropped.
template <std::size_t Bytes, int Words>
ZEROPOINT_INLINE void store(const Ints (&words)[Words], std::uint8_t* blocks, std::size_t count) {
    static_assert(Bytes > 4 * (Words - 1) && Bytes <= 4 * Words);
    for (std::size_t i = 0; i < count; ++i) {
        for (int k = 0; k < Words; ++k) {
            const std::int32_t word = words[k][i];
            std::memcpy(blocks + i * Bytes + 4 * k, &word, k < Words - 1 ? 4 : Bytes - 4 * k);
        }
    }
}

// Four bytes of every lane as a word, the first one lowest.
template <typename Byte>
ZEROPOINT_INLINE Ints join_bytes(Byte byte) {
    return byte(0) | byte(1) << 8 | byte(2) << 16 | byte(3) << 24;
}

// 2 bits, from `shift` on, of the codes of weights i, 32 + i, 64 + i, 96 + i of a half.
ZEROPOINT_INLINE Ints pack4(const Tile& tile, int half, int i, int shift) {
    Ints byte = splat_int(0);
    for (int m = 0; m < 4; ++m) byte |= (tile.code(half * 128 + m * 32 + i) >> shift & 3) << 2 * m;
    return byte;
}

}  // namespace
}  // namespace zeropoint
