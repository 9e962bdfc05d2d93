// Decodes rows from one format and encodes them in another, while the weights are in the cache.
#pragma once
#include <cstddef>
#include <cstdint>

#include "codecs/codec.hpp"

namespace zeropoint {

struct Rows {
    std::size_t count, columns;  // columns: a multiple of the block sizes of both formats
    const float* importance;     // (columns); null: ones
    float limit;                 // the magnitude that no weight may reach
};

struct Transcoded {
    double error;  // sum of importance · (weight − decoded)², as `weighted_error` adds it
    double power;  // sum of importance · weight²
    bool encoded;  // false: a weight has a magnitude of `limit` or more, or is NaN
};

// Rows of blocks in format `from` -> the same rows in format `to`. If `encoded` is false, the other figures
// and `blocks` mean nothing. The result does not depend on the number of threads.
Transcoded transcode(const Codec& from, const std::uint8_t* stored, const Codec& to, std::uint8_t* blocks,
                     const Rows& rows, int threads);

}  // namespace zeropoint
