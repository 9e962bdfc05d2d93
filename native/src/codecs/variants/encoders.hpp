// Declares the encoders of one variant, grouped by file; codecs.cpp lists them in its table.
#pragma once
#include <cstddef>
#include <cstdint>

#include "codecs/codec.hpp"

namespace zeropoint::ZEROPOINT_VARIANT {

using Encode = void(const Source& source, std::uint8_t* blocks, std::size_t first, std::size_t count);

Encode encode_f32, encode_f16, encode_bf16;
// encode_one_scale.cpp, encode_one_line.cpp, encode_byte_scale.cpp
Encode encode_q4_0, encode_q5_0, encode_q8_0, encode_iq4_nl, encode_q2_0, encode_tq1_0, encode_tq2_0,
    encode_q1_0;
Encode encode_q4_1, encode_q5_1;
Encode encode_mxfp4, encode_nvfp4;
// encode_scale.cpp, encode_minimum.cpp
Encode encode_q2_k, encode_q3_k, encode_q4_k, encode_q5_k, encode_q6_k, encode_iq4_xs;
// encode_grid.cpp
Encode encode_iq2_xxs, encode_iq2_xs, encode_iq2_s, encode_iq3_xxs, encode_iq3_s;
// encode_shifted_grid.cpp
Encode encode_iq1_s, encode_iq1_m;

}  // namespace zeropoint::ZEROPOINT_VARIANT
