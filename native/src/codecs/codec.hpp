// The interface between the bindings and the variants: one row of a table per format.
// A variant is the same source compiled for one instruction set (see CMakeLists.txt).
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

namespace zeropoint {

// The input of an encoder: rows of finite weights, cut into blocks.
struct Source {
    const float* weights;        // (blocks, block_size)
    const float* importance;     // (blocks_per_row, block_size), finite and >= 0; null: ones
    std::size_t blocks_per_row;  // block i is weighted by row i % blocks_per_row of `importance`
};

struct Codec {
    const char* name;
    std::size_t block_size;   // weights
    std::size_t block_bytes;
    // blocks (n, block_bytes) -> weights (n, block_size). Any bytes decode: it never fails.
    void (*decode)(const std::uint8_t* blocks, float* weights, std::size_t n);
    // Blocks [first, first + count) of `source` -> the same blocks of `blocks`, which points at block 0.
    // Null if the format has no native encoder; the specification in Python then encodes.
    void (*encode)(const Source& source, std::uint8_t* blocks, std::size_t first, std::size_t count);
};

struct CodecTable {
    const Codec* rows;
    std::size_t count;
};

// The active variant's codec of this name, or null.
const Codec* find_codec(const std::string& name);

namespace baseline {
CodecTable codecs();
}
#ifdef ZEROPOINT_HAS_avx2
namespace avx2 {
CodecTable codecs();
}
#endif
#ifdef ZEROPOINT_HAS_avx512
namespace avx512 {
CodecTable codecs();
}
#endif

}  // namespace zeropoint
