// Keys and values in the cache as F16, Q8_0 or Q4_0: encoding rows, and decoding them for attention. The
// layouts and the rounding are those of models/cached_rows.py, bit for bit. Included by variants only.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#include "simd/row_vectors.hpp"
#include "transformer/step_kernels.hpp"

namespace zeropoint::ZEROPOINT_VARIANT {
namespace {

constexpr std::size_t rounded_block = 32;  // values with one scale
constexpr std::size_t value_columns = 2 * lanes;  // of values that are decoded at a time

// The codes of a block, and its scale as float16. Both are 0 for a block without an inverse scale; the scale of a
// block that is not finite is NaN.
struct Codes {
    std::uint16_t scale = 0;
    std::uint8_t bytes[rounded_block] = {};
};

inline Codes encode_block(CacheType type, const float* x) {
    Codes found;
    float largest = 0.0f, top = 0.0f;
    for (std::size_t i = 0; i < rounded_block; ++i) {
        if (!(std::fabs(x[i]) <= std::numeric_limits<float>::max())) {
            found.scale = 0x7e00;
            return found;
        }
        if (std::fabs(x[i]) > largest) largest = std::fabs(x[i]), top = x[i];
    }
    const float scale = type == CacheType::q8_0 ? largest / 127.0f : top / -8.0f;
    const float inverse = 1.0f / scale;
    if (!(std::fabs(inverse) <= std::numeric_limits<float>::max())) return found;
    found.scale = float_to_half(scale);
    if (type == CacheType::q8_0) {
        for (std::size_t i = 0; i < rounded_block; ++i)
            found.bytes[i] = std::uint8_t(std::int32_t((x[i] * inverse + 12582912.0f) - 12582912.0f));
        return found;
    }
    const auto code = [&](float value) { return std::min(15, std::int32_t(value * inverse + 8.5f)); };
    for (std::size_t i = 0; i < rounded_block / 2; ++i)
        found.bytes[i] = std::uint8_t(code(x[i]) | code(x[i + rounded_block / 2]) << 4);
    return found;
}

inline std::size_t code_bytes(CacheType type) { return type == CacheType::q8_0 ? 32 : 16; }

// Writes one position's key into its tile.
inline void store_key(CacheType type, const float* key, std::size_t size, std::byte* tile, std::size_t lane) {
    if (type == CacheType::f32) {
        float* to = reinterpret_cast<float*>(tile) + lane;
        for (std::size_t d = 0; d < size; ++d) to[d * key_tile] = key[d];
    } else if (type == CacheType::f16) {
        std::uint16_t* to = reinterpret_cast<std::uint16_t*>(tile) + lane;
        for (std::size_t d = 0; d < size; ++d) to[d * key_tile] = float_to_half(key[d]);
    } else {
        const std::size_t bytes = code_bytes(type);
        for (std::size_t d = 0; d < size; d += rounded_block, tile += (2 + bytes) * key_tile) {
            const Codes codes = encode_block(type, key + d);
            std::memcpy(tile + 2 * lane, &codes.scale, 2);
            for (std::size_t c = 0; c < bytes; ++c)
                tile[(2 + c) * key_tile + lane] = std::byte(codes.bytes[c]);
        }
    }
}

// Writes one position's value.
inline void store_value(CacheType type, const float* value, std::size_t size, std::byte* row) {
    if (type == CacheType::f32) {
        std::memcpy(row, value, size * sizeof(float));
    } else if (type == CacheType::f16) {
        for (std::size_t i = 0; i < size; ++i) {
            const std::uint16_t half = float_to_half(value[i]);
            std::memcpy(row + 2 * i, &half, 2);
        }
    } else {
        const std::size_t bytes = code_bytes(type);
        for (std::size_t i = 0; i < size; i += rounded_block, row += 2 + bytes) {
            const Codes codes = encode_block(type, value + i);
            std::memcpy(row, &codes.scale, 2);
            std::memcpy(row + 2, codes.bytes, bytes);
        }
    }
}

inline void store_row(const CachedRow& row) {
    store_key(row.key_type, row.key, row.key_size, row.key_tile, row.lane);
    store_value(row.value_type, row.value, row.value_size, row.value_row);
}

inline Floats halves(const std::byte* from) {
    return halves_to_floats(reinterpret_cast<const std::uint8_t*>(from));
}

inline Ints signed_codes(const std::byte* from) {
    return signed_bytes_to_ints(reinterpret_cast<const std::uint8_t*>(from));
}

inline Ints codes_of(const std::byte* from) {
    return bytes_to_ints(reinterpret_cast<const std::uint8_t*>(from));
}

// A tile of keys as (head_size, key_tile) floats: the cache's own, or decoded into `room`.
inline const float* decoded_keys(const AttentionSpan& span, std::size_t tile, float* room) {
    const std::byte* from = span.keys + tile * span.key_tile_bytes;
    if (span.key_type == CacheType::f32) return reinterpret_cast<const float*>(from);
    if (span.key_type == CacheType::f16) {
        for (std::size_t i = 0; i < span.head_size * key_tile; i += lanes)
            store(room + i, halves(from + 2 * i));
        return room;
    }
    const std::size_t bytes = code_bytes(span.key_type);
    float* to = room;
    for (std::size_t d = 0; d < span.head_size; d += rounded_block, from += (2 + bytes) * key_tile)
        for (std::size_t p = 0; p < key_tile; p += lanes) {
            const Floats scale = halves(from + 2 * p);
            const std::byte* codes = from + 2 * key_tile + p;
            for (std::size_t c = 0; c < bytes; ++c, codes += key_tile) {
                float* at = to + (d + c) * key_tile + p;
                if (span.key_type == CacheType::q8_0) {
                    store(at, to_floats(signed_codes(codes)) * scale);
                } else {
                    const Ints both = codes_of(codes);
                    store(at, to_floats((both & 15) - 8) * scale);
                    store(at + rounded_block / 2 * key_tile, to_floats((both >> 4) - 8) * scale);
                }
            }
        }
    return room;
}

struct ValueRows {
    const float* at;
    std::size_t pitch;
};

// `value_columns` columns from `column` on of the values of a tile: the cache's own, or decoded into `room`.
inline ValueRows decoded_values(const AttentionSpan& span, std::size_t tile, std::size_t column,
                                float* room) {
    const std::byte* from = span.values + tile * key_tile * span.value_row_bytes;
    if (span.value_type == CacheType::f32)
        return {reinterpret_cast<const float*>(from) + column, span.value_row_bytes / sizeof(float)};
    const std::size_t bytes = code_bytes(span.value_type), first = column % rounded_block;
    for (std::size_t k = 0; k < key_tile; ++k, from += span.value_row_bytes) {
        float* to = room + k * value_columns;
        if (span.value_type == CacheType::f16) {
            for (int half = 0; half < 2; ++half)
                store(to + half * lanes, halves(from + 2 * (column + half * lanes)));
            continue;
        }
        const std::byte* block = from + column / rounded_block * (2 + bytes);
        std::uint16_t bits;
        std::memcpy(&bits, block, 2);
        const Floats scale = splat(half_to_float(bits));
        for (std::size_t i = 0; i < value_columns; i += lanes) {
            const std::size_t at = first + i, low = at % (rounded_block / 2);
            Ints code;
            if (span.value_type == CacheType::q8_0)
                code = signed_codes(block + 2 + at);
            else
                code = ((at < rounded_block / 2 ? codes_of(block + 2 + low) & 15
                                                : codes_of(block + 2 + low) >> 4)) -
                       8;
            store(to + i, to_floats(code) * scale);
        }
    }
    return {room, value_columns};
}

// x = H x for each `size` of the `count` values; H is the Walsh-Hadamard matrix divided by √size.
inline void hadamard(float* x, std::size_t count, std::size_t size) {
    const float factor = float(1.0 / std::sqrt(double(size)));
    for (float* block = x; block < x + count; block += size) {
        for (std::size_t step = 1; step < size; step *= 2)
            for (std::size_t i = 0; i < size; i += 2 * step)
                for (std::size_t j = i; j < i + step; ++j) {
                    const float a = block[j], b = block[j + step];
                    block[j] = a + b, block[j + step] = a - b;
                }
        for (std::size_t i = 0; i < size; ++i) block[i] *= factor;
    }
}

}  // namespace
}  // namespace zeropoint::ZEROPOINT_VARIANT
