// Panels of the IQ formats: their codes, signs and scales by planes, as layouts_grids.hpp reads them.
#include "packing.hpp"

namespace zeropoint {
namespace {

void pack_iq2_xxs(const std::uint8_t* from, Lane to) {
    to.put_half(0, from);
    for (int u = 0; u < 8; ++u) {
        to.put_bytes(32 + 128 * u, from + 2 + 8 * u, 4);
        to.put_word(32 + 128 * u + 64, word(from + 2 + 8 * u + 4));
    }
}

void pack_iq2_xs(const std::uint8_t* from, Lane to) {
    to.put_half(0, from);
    for (int u = 0; u < 8; ++u) {
        for (int l = 0; l < 4; ++l) to.put_half(32 + 144 * u + 32 * l, from + 2 + 8 * u + 2 * l);
        to.put_byte(32 + 144 * u + 128, from[66 + u]);
    }
}

void pack_iq2_s(const std::uint8_t* from, Lane to) {
    to.put_half(0, from);
    for (int u = 0; u < 8; ++u) {
        const std::size_t at = 32 + 160 * u;
        to.put_bytes(at, from + 2 + 4 * u, 4);
        to.put_bytes(at + 64, from + 34 + 4 * u, 4);
        to.put_byte(at + 128, from[66 + u]);
        to.put_byte(at + 144, from[74 + u]);
    }
}

void pack_iq3_xxs(const std::uint8_t* from, Lane to) {
    to.put_half(0, from);
    for (int u = 0; u < 8; ++u) {
        to.put_bytes(32 + 192 * u, from + 2 + 8 * u, 8);
        to.put_word(32 + 192 * u + 128, word(from + 66 + 4 * u));
    }
}

void pack_iq3_s(const std::uint8_t* from, Lane to) {
    to.put_half(0, from);
    to.put_bytes(32, from + 106, 4);
    for (int u = 0; u < 8; ++u) {
        const std::size_t at = 96 + 208 * u;
        to.put_bytes(at, from + 2 + 8 * u, 8);
        to.put_byte(at + 128, from[66 + u]);
        to.put_bytes(at + 144, from + 74 + 4 * u, 4);
    }
}

void pack_iq1_s(const std::uint8_t* from, Lane to) {
    to.put_half(0, from);
    for (int u = 0; u < 8; ++u) {
        to.put_bytes(32 + 96 * u, from + 2 + 4 * u, 4);
        to.put_half(32 + 96 * u + 64, from + 34 + 2 * u);
    }
}

void pack_iq1_m(const std::uint8_t* from, Lane to) {
    for (int i = 0; i < 4; ++i) to.put_half(32 * i, from + 48 + 2 * i);
    for (int u = 0; u < 8; ++u) {
        to.put_bytes(128 + 96 * u, from + 4 * u, 4);
        to.put_bytes(128 + 96 * u + 64, from + 32 + 2 * u, 2);
    }
}

constexpr Packing packings[] = {
    {"IQ1_S", Layout::iq1_s, 50, pack_iq1_s},       {"IQ1_M", Layout::iq1_m, 56, pack_iq1_m},
    {"IQ2_XXS", Layout::iq2_xxs, 66, pack_iq2_xxs}, {"IQ2_XS", Layout::iq2_xs, 74, pack_iq2_xs},
    {"IQ2_S", Layout::iq2_s, 82, pack_iq2_s},       {"IQ3_XXS", Layout::iq3_xxs, 98, pack_iq3_xxs},
    {"IQ3_S", Layout::iq3_s, 110, pack_iq3_s},
};

}  // namespace

std::span<const Packing> grid_packings() { return packings; }

}  // namespace zeropoint
