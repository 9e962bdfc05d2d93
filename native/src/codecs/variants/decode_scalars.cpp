// Numbers that are stored one by one; see src/zeropoint/formats/scalars.py.
#include "codecs/variants/decoders.hpp"
#include "codecs/variants/half.hpp"

namespace zeropoint::ZEROPOINT_VARIANT {
namespace {

template <typename Number>
void convert(const u8* blocks, float* weights, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) {
        Number number;
        std::memcpy(&number, blocks + i * sizeof number, sizeof number);
        weights[i] = float(number);
    }
}

}  // namespace

void decode_f32(const u8* blocks, float* weights, std::size_t n) {
    std::memcpy(weights, blocks, n * sizeof(float));
}

void decode_f16(const u8* blocks, float* weights, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) {
        u16 half;
        std::memcpy(&half, blocks + 2 * i, 2);
        weights[i] = half_to_float(half);
    }
}

void decode_bf16(const u8* blocks, float* weights, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) {
        u16 upper;
        std::memcpy(&upper, blocks + 2 * i, 2);
        weights[i] = std::bit_cast<float>(u32(upper) << 16);
    }
}

void decode_f64(const u8* b, float* w, std::size_t n) { convert<double>(b, w, n); }
void decode_i8(const u8* b, float* w, std::size_t n) { convert<std::int8_t>(b, w, n); }
void decode_i16(const u8* b, float* w, std::size_t n) { convert<std::int16_t>(b, w, n); }
void decode_i32(const u8* b, float* w, std::size_t n) { convert<std::int32_t>(b, w, n); }
void decode_i64(const u8* b, float* w, std::size_t n) { convert<std::int64_t>(b, w, n); }

}  // namespace zeropoint::ZEROPOINT_VARIANT
