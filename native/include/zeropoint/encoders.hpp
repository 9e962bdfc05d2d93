// The encoders of one variant, by file. The table in codecs.cpp names them.
#pragma once
#include <cstddef>
#include <cstdint>

#include "zeropoint/codec.hpp"

namespace zeropoint::ZEROPOINT_VARIANT {

using Encode = void(const Source& source, std::uint8_t* blocks, std::size_t first, std::size_t count);

Encode encode_f32, encode_f16, encode_bf16;
// encode_scale.cpp, encode_minimum.cpp
Encode encode_q2_k, encode_q3_k, encode_q4_k, encode_q5_k, encode_q6_k, encode_iq4_xs;

}  // namespace zeropoint::ZEROPOINT_VARIANT
