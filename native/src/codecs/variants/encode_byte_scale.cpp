// The encoders of FP4 with a scale of one byte per group. Their specifications are the methods
// encode_blocks in src/zeropoint/formats/nonlinear.py, and `search_byte_scale` in src/zeropoint/formats/encoders/fp8_scale.py.
#include "codecs/variants/encoders.hpp"
#include "codecs/variants/grid_levels.hpp"
#include "codecs/variants/groups.hpp"
#include "matmul/pack.hpp"

namespace zeropoint::ZEROPOINT_VARIANT {
namespace {

// The candidate with the smallest error so far; the first one if several are equal.
template <typename Groups>
class ByteScale {
public:
    explicit ByteScale(const Groups& groups) : groups_(groups) {}

    ZEROPOINT_INLINE void consider(Ints candidate, Floats scale) {
        const Floats inverse_scale = reciprocal(scale);
        const Floats error = groups_.error(
            [&](int k) { return scale * E2m1Doubled::nearest(groups_.weights[k] * inverse_scale); });
        const Ints better = is_first_ ? splat_int(-1) : error < least_;
        is_first_ = false;
        byte = better ? candidate : byte;
        inverse_ = select(better, inverse_scale, inverse_);
        least_ = select(better, error, least_);
    }

    ZEROPOINT_INLINE Floats ratio(int k) const { return groups_.weights[k] * inverse_; }

    Ints byte = splat_int(0);

private:
    const Groups& groups_;
    Floats inverse_ = splat(0), least_ = splat(0);
    bool is_first_ = true;
};

ZEROPOINT_INLINE Ints clamp_ints(Ints a, int low, int high) {
    a = a < low ? splat_int(low) : a;
    return a > high ? splat_int(high) : a;
}

// Half of the values of 0 … 126 as UE4M3, and the largest of these that is not above `needed`.
ZEROPOINT_INLINE Floats half_of_ue4m3(Ints byte) {
    const Floats subnormal = __builtin_convertvector(byte, Floats) * 0x1p-10f;
    return select(byte < 8, subnormal, bits_to_floats((byte << 20) + (119 << 23)));
}
ZEROPOINT_INLINE Ints ue4m3_below(Floats needed) {
    needed = smaller(needed, splat(224));
    const Ints subnormal = __builtin_convertvector(needed * 0x1p10f, Ints);
    return needed < 0x1p-7f ? subnormal : (floats_to_bits(needed) >> 20) - (119 << 3);
}

}  // namespace

void encode_mxfp4(const Source& source, u8* blocks, std::size_t first, std::size_t count) {
    for_each_tile<32>(source, 1, first, count, [&](auto& groups, std::size_t group, std::size_t used) {
        ByteScale<std::remove_reference_t<decltype(groups)>> best(groups);
        const Ints exponent = groups.exponent + exponent_of(absolute(groups.peak));
        for (int less = 0; less < 8; ++less) {
            const Ints byte = clamp_ints(exponent + (125 - less), 0, 252);
            best.consider(byte, power_of_two(byte - 128 - groups.exponent));
        }
        const Codes<E2m1Doubled, 32> codes([&](int k) { return best.ratio(k); });
        for (std::size_t i = 0; i < used; ++i) {
            BlockMXFP4 block;
            block.exponent = u8(best.byte[i]);
            pack_nibbles(block.codes, codes.rows[i]);
            std::memcpy(blocks + (group + i) * sizeof block, &block, sizeof block);
        }
    });
}

void encode_nvfp4(const Source& source, u8* blocks, std::size_t first, std::size_t count) {
    for_each_tile<16>(source, 4, first, count, [&](auto& groups, std::size_t group, std::size_t used) {
        ByteScale<std::remove_reference_t<decltype(groups)>> best(groups);
        const Ints middle = ue4m3_below((absolute(groups.peak) * groups.unit) / 12.0f);
        best.consider(splat_int(0), splat(0));
        for (int less = 0; less < 24; ++less) {
            const Ints byte = clamp_ints(middle + (7 - less), 1, 126);
            best.consider(byte, half_of_ue4m3(byte) * groups.inverse_unit);
        }
        const Codes<E2m1Doubled, 16> codes([&](int k) { return best.ratio(k); });
        for (std::size_t i = 0; i < used; ++i) {
            const std::size_t place = (group + i) % 4;
            u8* block = blocks + (group + i) / 4 * sizeof(BlockNVFP4);
            block[offsetof(BlockNVFP4, groups) + place] = u8(best.byte[i]);
            u8* bytes = block + offsetof(BlockNVFP4, codes) + 8 * place;
            for (int k = 0; k < 8; ++k) bytes[k] = u8(codes.rows[i][k] | codes.rows[i][k + 8] << 4);
        }
    });
}

}  // namespace zeropoint::ZEROPOINT_VARIANT
