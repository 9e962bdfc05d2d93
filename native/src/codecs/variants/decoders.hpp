// Declares the decoders of one variant, grouped by file; codecs.cpp lists them in its table.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "codecs/variants/blocks.hpp"

namespace zeropoint::ZEROPOINT_VARIANT {

using Decode = void(const u8* blocks, float* weights, std::size_t n);

Decode decode_f32, decode_f16, decode_bf16, decode_f64, decode_i8, decode_i16, decode_i32, decode_i64;
Decode decode_q4_0, decode_q4_1, decode_q5_0, decode_q5_1, decode_q8_0;
Decode decode_q2_k, decode_q3_k, decode_q4_k, decode_q5_k, decode_q6_k;
Decode decode_iq4_nl, decode_iq4_xs, decode_mxfp4, decode_nvfp4;
Decode decode_q1_0, decode_q2_0, decode_tq1_0, decode_tq2_0;
Decode decode_iq1_s, decode_iq1_m, decode_iq2_xxs, decode_iq2_xs, decode_iq2_s, decode_iq3_xxs, decode_iq3_s;

namespace {

// Calls decode_one(block, weights) for each block, which need not be aligned in the file.
template <typename Block, std::size_t block_size, typename DecodeOne>
[[maybe_unused]] void decode_each(const u8* blocks, float* weights, std::size_t n, DecodeOne decode_one) {
    for (std::size_t i = 0; i < n; ++i) {
        Block block;
        std::memcpy(&block, blocks + i * sizeof block, sizeof block);
        decode_one(block, weights + i * block_size);
    }
}

}  // namespace
}  // namespace zeropoint::ZEROPOINT_VARIANT
