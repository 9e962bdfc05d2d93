// The encoders of IQ2_XXS, IQ2_XS, IQ2_S, IQ3_XXS and IQ3_S, whose codes name points of grids. The same
// operations in the same order as src/zeropoint/formats/encoders/grid_search.py.
#include "codecs/variants/blocks.hpp"
#include "codecs/variants/encoders.hpp"
#include "codecs/variants/grid_points.hpp"
#include "codecs/variants/superblocks.hpp"

namespace zeropoint::ZEROPOINT_VARIANT {
namespace {

constexpr std::array<int, 3> levels2{8, 25, 43};
constexpr std::array<int, 8> levels3_xxs{4, 12, 20, 28, 36, 44, 52, 62};
constexpr std::array<int, 8> levels3_s{1, 3, 5, 7, 9, 11, 13, 15};
constexpr Codebook book_iq2_xxs(grid_iq2_xxs, levels2);
constexpr Codebook book_iq2_xs(grid_iq2_xs, levels2);
constexpr Codebook book_iq2_s(grid_iq2_s, levels2);
constexpr Codebook book_iq3_xxs(grid_iq3_xxs, levels3_xxs);
constexpr Codebook book_iq3_s(grid_iq3_s, levels3_s);

constexpr int max_multiple = 31;
constexpr int sign_group = 8, sign_codes = block_weights / sign_group;

// Number of candidates that are tried: the fields of the same names of `GridSearch` in
// src/zeropoint/formats/encoders/grid_search.py. A test compares the numbers with those of Python.
struct GridBudget {
    int below = 4, above = 2;
    int near = 3;
    float nudges[2] = {1.03f, 1};
};

// Groups of `Size` weights with scales d · unit · (1, 3 … 31).
template <const auto& book, int Size, bool EvenSigns>
struct GridSearch {
    static constexpr int groups = block_weights / Size, vectors = block_weights / book.size;
    static constexpr float top = book.levels[book.level_count - 1];
    static constexpr GridBudget budget{};

    struct State {
        Factor d;
        Floats multiple[groups], error[groups], total;
    };

    Tile& tile;  // its weights become magnitudes, negative where a weight gets the other sign
    const float unit;
    Ints signs[sign_codes];
    Ints codes[vectors];
    Floats plain[groups];  // scale that puts the largest weight of a group on the largest level
    PointCosts<book> costs;

    GridSearch(Tile& tile, float unit) : tile(tile), unit(unit) {}

    // Takes the signs off the weights. If their number must be even and is odd, the weight with the lowest
    // cost · magnitude gets the other sign.
    ZEROPOINT_INLINE void split_signs() {
        for (int s = 0; s < sign_codes; ++s) {
            Floats *x = tile.weights + sign_group * s, *cost = tile.importance + sign_group * s;
            Ints odd = splat_int(0), cheapest = splat_int(0);
            Floats least = splat(__builtin_inff());
            signs[s] = splat_int(0);
            for (int i = 0; i < sign_group; ++i) {
                const Ints minus = x[i] < 0.0f;
                signs[s] |= minus & 1 << i;
                odd ^= minus;
                x[i] = absolute(x[i]);
                const Floats loss = x[i] * cost[i];
                cheapest = loss < least ? splat_int(1 << i) : cheapest;
                least = smaller(loss, least);
            }
            if constexpr (EvenSigns) {
                cheapest &= odd;
                signs[s] ^= cheapest;
                for (int i = 0; i < sign_group; ++i) x[i] = select((cheapest & 1 << i) != 0, -x[i], x[i]);
            }
        }
    }

    ZEROPOINT_INLINE void measure_groups() {
        for (int g = 0; g < groups; ++g) {
            plain[g] = splat(0);
            for (int k = g * Size; k < (g + 1) * Size; ++k) plain[g] = larger(plain[g], tile.weights[k]);
            plain[g] *= 1.0f / top;
        }
    }

    // Calls use(v) for each vector v of group g, when `costs` are those of this vector.
    template <typename Use>
    ZEROPOINT_INLINE void each_vector(int g, Floats scale, Use use) {
        Floats scaled[book.level_count];
        for (int l = 0; l < book.level_count; ++l) scaled[l] = scale * book.levels[l];
        for (int k = g * Size; k < (g + 1) * Size; k += book.size) {
            costs.fill(tile.weights + k, tile.importance + k, scaled);
            use(k / book.size);
        }
    }

    void attempt(int g, State& state, Floats multiple) {
        multiple = clamp(multiple, 1, max_multiple);
        const Floats scale = (state.d.value * unit) * multiple;
        Floats error = splat(0);
        each_vector(g, scale, [&](int) { error += costs.least(); });
        const Ints lower = (error < state.error[g]) & (scale != 0.0f);
        state.error[g] = select(lower, error, state.error[g]);
        state.multiple[g] = select(lower, multiple, state.multiple[g]);
    }

    // The best of `count` multiples of each group, from the one next to middle(g) + 2 · first on.
    template <typename Middle>
    ZEROPOINT_INLINE State attempts(const Factor& d, int first, int count, Middle middle) {
        State state;
        state.d = d;
        state.total = splat(0);
        for (int g = 0; g < groups; ++g) {
            state.multiple[g] = splat(0);
            state.error[g] = splat(__builtin_inff());
            const Floats centre = odd_multiple(middle(g), max_multiple);
            for (int k = first; k < first + count; ++k) attempt(g, state, centre + float(2 * k));
            state.total += state.error[g];
        }
        return state;
    }

    ZEROPOINT_INLINE static void keep_better(State& best, const State& other) {
        const Ints better = other.total < best.total;
        best.d = choose(better, other.d, best.d);
        best.total = select(better, other.total, best.total);
        for (int g = 0; g < groups; ++g)
            best.multiple[g] = select(better, other.multiple[g], best.multiple[g]);
    }

    // All weights 0.
    ZEROPOINT_INLINE State zero() const {
        State state{};
        for (int g = 0; g < groups; ++g) state.total += error_of_zeros<Size>(tile, g * Size);
        return state;
    }

    // Sets the codes of the nearest points, and returns the d that fits them best.
    Floats set_codes(const State& state) {
        Floats over = splat(0), under = splat(0);
        for (int g = 0; g < groups; ++g) {
            Floats xq = splat(0), qq = splat(0);
            each_vector(g, (state.d.value * unit) * state.multiple[g], [&](int v) {
                codes[v] = costs.nearest();
                Floats level[book.size];
                for (int n = 0; n < lanes; ++n)
                    for (int i = 0; i < book.size; ++i)
                        level[i][n] = float(int(book.grid[codes[v][n]] >> 8 * i & 255u));
                for (int i = 0, k = v * book.size; i < book.size; ++i, ++k) {
                    const Floats wq = tile.importance[k] * level[i];
                    xq += wq * tile.weights[k];
                    qq += wq * level[i];
                }
            });
            over += state.multiple[g] * xq;
            under += (state.multiple[g] * state.multiple[g]) * qq;
        }
        return select(over > 0.0f, (over / under) * (1.0f / unit), state.d.value);
    }

    // The best d and multiples; sets `signs` and `codes`.
    State search() {
        split_signs();
        measure_groups();
        Floats largest = splat(0);
        for (const Floats& scale : plain) largest = larger(largest, scale);
        State best = zero();
        const Factor d = round_factor(largest * (1.0f / (max_multiple * unit)), tile);
        const Floats inverse_d = inverse(d.value * unit);
        keep_better(best, attempts(d, -budget.below, budget.below + budget.above,
                                   [&](int g) { return plain[g] * inverse_d; }));
        for (float nudge : budget.nudges) {
            const Factor nudged = round_factor(set_codes(best) * nudge, tile);
            const Floats change = best.d.value * inverse(nudged.value);
            keep_better(best, attempts(nudged, -(budget.near / 2), budget.near,
                                       [&](int g) { return best.multiple[g] * change; }));
        }
        set_codes(best);
        return best;
    }
};

// Contents of one block.
template <typename Search>
struct Contents {
    u16 d;
    u32 scales[Search::groups], signs[sign_codes], codes[Search::vectors];

    Contents(const Search& search, const typename Search::State& found, std::size_t lane)
        : d(u16(found.d.half[lane])) {
        for (int g = 0; g < Search::groups; ++g)
            scales[g] = u32(std::max(int(found.multiple[g][lane]) - 1, 0) / 2);
        for (int s = 0; s < sign_codes; ++s) signs[s] = u32(search.signs[s][lane]);
        for (int v = 0; v < Search::vectors; ++v) codes[v] = u32(search.codes[v][lane]);
    }

    // Four sign codes of 7 bits and a scale of 4 bits.
    u32 signs_and_scale(int g) const {
        u32 word = scales[g] << 28;
        for (int k = 0; k < 4; ++k) word |= (signs[4 * g + k] & 127) << 7 * k;
        return word;
    }

    u8 scale_pair(int k) const { return u8(scales[2 * k] | scales[2 * k + 1] << 4); }
};

template <typename Block, const auto& book, int Size, bool EvenSigns, typename Pack>
void encode(const Source& source, u8* blocks, std::size_t first, std::size_t count, float unit, Pack pack) {
    using Search = GridSearch<book, Size, EvenSigns>;
    const float reach = largest_half * unit * max_multiple * Search::top;
    const bool weighted = is_weighted(source);
    static thread_local Tile tile;
    for (std::size_t i = first; i < first + count; i += lanes) {
        const std::size_t used = std::min<std::size_t>(lanes, first + count - i);
        load_tile_with_costs(tile, source, weighted, i, used, reach);
        Search search(tile, unit);
        const typename Search::State found = search.search();
        for (std::size_t lane = 0; lane < used; ++lane) {
            Block block{};
            pack(Contents(search, found, lane), block);
            std::memcpy(blocks + (i + lane) * sizeof block, &block, sizeof block);
        }
    }
}

}  // namespace

void encode_iq2_xxs(const Source& source, u8* blocks, std::size_t first, std::size_t count) {
    encode<BlockIQ2_XXS, book_iq2_xxs, 32, true>(
        source, blocks, first, count, 0.125f, [](const auto& contents, BlockIQ2_XXS& block) {
            block.d = contents.d;
            for (int g = 0; g < 8; ++g) {
                for (int k = 0; k < 4; ++k) block.groups[8 * g + k] = u8(contents.codes[4 * g + k]);
                const u32 word = contents.signs_and_scale(g);
                std::memcpy(block.groups + 8 * g + 4, &word, 4);
            }
        });
}

void encode_iq2_xs(const Source& source, u8* blocks, std::size_t first, std::size_t count) {
    encode<BlockIQ2_XS, book_iq2_xs, 16, true>(
        source, blocks, first, count, 0.125f, [](const auto& contents, BlockIQ2_XS& block) {
            block.d = contents.d;
            for (int k = 0; k < 32; ++k)
                block.codes[k] = u16(contents.codes[k] | (contents.signs[k] & 127) << 9);
            for (int g = 0; g < 8; ++g) block.groups[g] = contents.scale_pair(g);
        });
}

void encode_iq2_s(const Source& source, u8* blocks, std::size_t first, std::size_t count) {
    encode<BlockIQ2_S, book_iq2_s, 16, false>(
        source, blocks, first, count, 0.125f, [](const auto& contents, BlockIQ2_S& block) {
            block.d = contents.d;
            for (int k = 0; k < 32; ++k) {
                block.codes[k] = u8(contents.codes[k]);
                block.signs[k] = u8(contents.signs[k]);
                block.high[k / 4] |= u8(contents.codes[k] >> 8 << 2 * (k % 4));
            }
            for (int g = 0; g < 8; ++g) block.groups[g] = contents.scale_pair(g);
        });
}

void encode_iq3_xxs(const Source& source, u8* blocks, std::size_t first, std::size_t count) {
    encode<BlockIQ3_XXS, book_iq3_xxs, 32, true>(source, blocks, first, count, 0.25f,
                                                 [](const auto& contents, BlockIQ3_XXS& block) {
                                                     block.d = contents.d;
                                                     for (int k = 0; k < 64; ++k)
                                                         block.codes[k] = u8(contents.codes[k]);
                                                     for (int g = 0; g < 8; ++g) {
                                                         const u32 word = contents.signs_and_scale(g);
                                                         std::memcpy(block.groups + 4 * g, &word, 4);
                                                     }
                                                 });
}

void encode_iq3_s(const Source& source, u8* blocks, std::size_t first, std::size_t count) {
    encode<BlockIQ3_S, book_iq3_s, 32, false>(
        source, blocks, first, count, 1.0f, [](const auto& contents, BlockIQ3_S& block) {
            block.d = contents.d;
            for (int k = 0; k < 64; ++k) {
                block.codes[k] = u8(contents.codes[k]);
                block.ninth[k / 8] |= u8(contents.codes[k] >> 8 << k % 8);
            }
            for (int k = 0; k < 32; ++k) block.signs[k] = u8(contents.signs[k]);
            for (int g = 0; g < 4; ++g) block.groups[g] = contents.scale_pair(g);
        });
}

}  // namespace zeropoint::ZEROPOINT_VARIANT
