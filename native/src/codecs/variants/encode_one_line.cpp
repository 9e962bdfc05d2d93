// The encoders of formats with a float16 scale and minimum per group; the specifications are encode_blocks
// of src/zeropoint/formats/legacy.py.
#include "codecs/variants/encoders.hpp"
#include "codecs/variants/line_search.hpp"
#include "matmul/pack.hpp"

namespace zeropoint::ZEROPOINT_VARIANT {
namespace {

template <typename Block, int Top, typename Pack>
ZEROPOINT_INLINE void encode_lines(const Source& source, u8* blocks, std::size_t first, std::size_t count,
                                   Pack pack) {
    for_each_tile<32>(source, 1, first, count, [&](auto& groups, std::size_t group, std::size_t used) {
        LineSearch<Top, std::remove_reference_t<decltype(groups)>, 32> search(groups);
        const auto stored = search.run();
        const Codes<Integers<0, Top>, 32> codes([&](int k) { return search.ratio(k); });
        for (std::size_t i = 0; i < used; ++i) {
            Block block;
            block.scale = u16(stored.scale[i]);
            block.minimum = u16(stored.minimum[i]);
            pack(block, codes.rows[i]);
            std::memcpy(blocks + (group + i) * sizeof block, &block, sizeof block);
        }
    });
}

}  // namespace

void encode_q4_1(const Source& source, u8* blocks, std::size_t first, std::size_t count) {
    encode_lines<BlockQ4_1, 15>(source, blocks, first, count, [](BlockQ4_1& block, const u8(&codes)[32]) {
        pack_nibbles(block.codes, codes);
    });
}

void encode_q5_1(const Source& source, u8* blocks, std::size_t first, std::size_t count) {
    encode_lines<BlockQ5_1, 31>(source, blocks, first, count, [](BlockQ5_1& block, const u8(&codes)[32]) {
        pack_fifth_bits(block.fifth, codes);
        pack_nibbles(block.codes, codes);
    });
}

}  // namespace zeropoint::ZEROPOINT_VARIANT
