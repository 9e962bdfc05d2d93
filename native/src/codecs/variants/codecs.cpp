// The codecs of one variant: decode and encode for every format that src/zeropoint/formats specifies.
#include "codecs/codec.hpp"

#include <array>

#include "codecs/variants/decoders.hpp"
#include "codecs/variants/encoders.hpp"

namespace zeropoint::ZEROPOINT_VARIANT {
namespace {

// {name, weights of a block, its bytes, decode, encode}
constexpr std::array rows{
    Codec{"F32", 1, 4, decode_f32, encode_f32},
    Codec{"F16", 1, 2, decode_f16, encode_f16},
    Codec{"BF16", 1, 2, decode_bf16, encode_bf16},
    Codec{"F64", 1, 8, decode_f64, nullptr},
    Codec{"I8", 1, 1, decode_i8, nullptr},
    Codec{"I16", 1, 2, decode_i16, nullptr},
    Codec{"I32", 1, 4, decode_i32, nullptr},
    Codec{"I64", 1, 8, decode_i64, nullptr},
    Codec{"Q4_0", 32, sizeof(BlockQ4_0), decode_q4_0, encode_q4_0},
    Codec{"Q4_1", 32, sizeof(BlockQ4_1), decode_q4_1, encode_q4_1},
    Codec{"Q5_0", 32, sizeof(BlockQ5_0), decode_q5_0, encode_q5_0},
    Codec{"Q5_1", 32, sizeof(BlockQ5_1), decode_q5_1, encode_q5_1},
    Codec{"Q8_0", 32, sizeof(BlockQ8_0), decode_q8_0, encode_q8_0},
    Codec{"Q2_K", 256, sizeof(BlockQ2_K), decode_q2_k, encode_q2_k},
    Codec{"Q3_K", 256, sizeof(BlockQ3_K), decode_q3_k, encode_q3_k},
    Codec{"Q4_K", 256, sizeof(BlockQ4_K), decode_q4_k, encode_q4_k},
    Codec{"Q5_K", 256, sizeof(BlockQ5_K), decode_q5_k, encode_q5_k},
    Codec{"Q6_K", 256, sizeof(BlockQ6_K), decode_q6_k, encode_q6_k},
    Codec{"IQ4_NL", 32, sizeof(BlockIQ4_NL), decode_iq4_nl, encode_iq4_nl},
    Codec{"IQ4_XS", 256, sizeof(BlockIQ4_XS), decode_iq4_xs, encode_iq4_xs},
    Codec{"MXFP4", 32, sizeof(BlockMXFP4), decode_mxfp4, encode_mxfp4},
    Codec{"NVFP4", 64, sizeof(BlockNVFP4), decode_nvfp4, encode_nvfp4},
    Codec{"Q1_0", 128, sizeof(BlockQ1_0), decode_q1_0, encode_q1_0},
    Codec{"Q2_0", 64, sizeof(BlockQ2_0), decode_q2_0, encode_q2_0},
    Codec{"TQ1_0", 256, sizeof(BlockTQ1_0), decode_tq1_0, encode_tq1_0},
    Codec{"TQ2_0", 256, sizeof(BlockTQ2_0), decode_tq2_0, encode_tq2_0},
    Codec{"IQ1_S", 256, sizeof(BlockIQ1_S), decode_iq1_s, encode_iq1_s},
    Codec{"IQ1_M", 256, sizeof(BlockIQ1_M), decode_iq1_m, encode_iq1_m},
    Codec{"IQ2_XXS", 256, sizeof(BlockIQ2_XXS), decode_iq2_xxs, encode_iq2_xxs},
    Codec{"IQ2_XS", 256, sizeof(BlockIQ2_XS), decode_iq2_xs, encode_iq2_xs},
    Codec{"IQ2_S", 256, sizeof(BlockIQ2_S), decode_iq2_s, encode_iq2_s},
    Codec{"IQ3_XXS", 256, sizeof(BlockIQ3_XXS), decode_iq3_xxs, encode_iq3_xxs},
    Codec{"IQ3_S", 256, sizeof(BlockIQ3_S), decode_iq3_s, encode_iq3_s},
};

}  // namespace

CodecTable codecs() { return {rows.data(), rows.size()}; }

}  // namespace zeropoint::ZEROPOINT_VARIANT
