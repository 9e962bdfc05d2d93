#include "codecs/codec.hpp"

#include "runtime/cpu.hpp"

namespace zeropoint {

const Codec* find_codec(const std::string& name) {
    const CodecTable table = ZEROPOINT_PICK(codecs)();
    for (std::size_t i = 0; i < table.count; ++i)
        if (name == table.rows[i].name) return &table.rows[i];
    return nullptr;
}

}  // namespace zeropoint
