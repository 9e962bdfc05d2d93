// The interface between the bindings and the variants: one row of a table per format.
// A variant is the same source compiled for one instruction set (see CMakeLists.txt).
#pragma once
#include <cstddef>
#include <cstdint>

namespace zeropoint {

struct Codec {
    const char* name;
    std::size_t block_size;   // weights
    std::size_t block_bytes;
    // blocks (n, block_bytes) -> weights (n, block_size). Total: any bytes decode.
    void (*decode)(const std::uint8_t* blocks, float* weights, std::size_t n);
    // weights (n, block_size) -> blocks. `importance` has the shape of `weights`, or is null for ones.
    void (*encode)(const float* weights, const float* importance, std::uint8_t* blocks, std::size_t n);
};

struct CodecTable {
    const Codec* rows;
    std::size_t count;
};

namespace baseline { CodecTable codecs(); }
#ifdef ZEROPOINT_HAS_avx2
namespace avx2 { CodecTable codecs(); }
#endif
#ifdef ZEROPOINT_HAS_avx512
namespace avx512 { CodecTable codecs(); }
#endif

}  // namespace zeropoint
