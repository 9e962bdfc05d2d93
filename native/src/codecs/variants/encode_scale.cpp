// The encoders of Q3_K, Q6_K and IQ4_XS, whose groups have a scale and no minimum. The same operations in
// the same order as `ScaleSearch` in src/zeropoint/formats/encoders/superblock_scale.py.
#include "codecs/variants/blocks.hpp"
#include "codecs/variants/encoders.hpp"
#include "codecs/variants/grid_levels.hpp"
#include "codecs/variants/superblocks.hpp"

namespace zeropoint::ZEROPOINT_VARIANT {
namespace {

// Number of candidates that are tried: the fields of the same names of `ScaleSearch` in
// src/zeropoint/formats/encoders/superblock_scale.py. A test compares the numbers with those of Python.
struct SearchBudget {
    int below, above, stride = 1;
    bool both_signs = false;
    float slacks[3] = {1.15f};  // ends at 0
    int near;
    float nudges[4];  // ends at 0
};

constexpr int exact_count = 4;
constexpr float exact_near[exact_count] = {1, 0.7f, 0.85f, 1.2f};  // times the plain scale

// 256 / Size groups with scales d · (Low … High).
template <typename Codes, int Size, int Low, int High, bool Weighted, SearchBudget budget>
struct ScaleSearch {
    static constexpr int groups = block_weights / Size;
    static constexpr float reach = largest_half * -Low * -Codes::low;

    struct State {
        Factor d;
        Floats scale[groups], error[groups], total;
    };

    Tile& tile;
    Floats plain[groups];  // scale that puts the largest weight of a group on the lowest code
    Floats zero[groups];   // error of scale 0
    Floats largest[groups];  // magnitude of a weight
    Floats heaviest[groups];  // the weight of the largest importance

    explicit ScaleSearch(Tile& tile) : tile(tile) {}

    // Sum of importance · (weight / scale − code)² of group g, for K scales at a time. If no weight is
    // beyond the codes, the difference to the nearest code is a fraction, which takes fewer instructions.
    template <int K>
    ZEROPOINT_INLINE void errors(int g, const Floats (&inverse_scale)[K], Floats (&sum)[K]) const {
        if constexpr (Codes::half_width > 0) {
            Floats widest = splat(0);
            for (const Floats& factor : inverse_scale) widest = larger(largest[g] * absolute(factor), widest);
            if (all(widest < Codes::half_width)) return sum_errors<K, fraction>(g, inverse_scale, sum);
        }
        sum_errors<K, beyond>(g, inverse_scale, sum);
    }

    static ZEROPOINT_INLINE Floats beyond(Floats ratio) { return ratio - Codes::nearest(ratio); }

    template <int K, auto Rest>
    ZEROPOINT_INLINE void sum_errors(int g, const Floats (&inverse_scale)[K], Floats (&sum)[K]) const {
        const Floats* x = tile.weights + g * Size;
        const Floats* w = tile.importance + g * Size;
        for (Floats& s : sum) s = splat(0);
        for (int c = 0; c < Size; ++c) {
            const Floats weight = x[c];
            for (int k = 0; k < K; ++k) {
                const Floats ratio = weight * inverse_scale[k];
                const Floats rest = Rest(ratio);
                sum[k] += Weighted ? (rest * rest) * w[c] : rest * rest;
            }
        }
    }

    template <int K>
    ZEROPOINT_INLINE void attempt(int g, State& state, Floats (&candidate)[K]) const {
        Floats scale[K], inverse_scale[K], sum[K];
        for (int k = 0; k < K; ++k) {
            candidate[k] = clamp(candidate[k], Low, High);
            scale[k] = state.d.value * candidate[k];
            inverse_scale[k] = inverse(scale[k]);
        }
        errors<K>(g, inverse_scale, sum);
        for (int k = 0; k < K; ++k) {
            const Floats error = sum[k] * (scale[k] * scale[k]);
            const Ints lower = (error < state.error[g]) & (scale[k] != 0.0f);
            state.error[g] = select(lower, error, state.error[g]);
            state.scale[g] = select(lower, candidate[k], state.scale[g]);
        }
    }

    template <int K>
    ZEROPOINT_INLINE void attempt(int g, State& state, Floats first, Floats stride) const {
        Floats candidate[K];
        for (int k = 0; k < K; ++k) candidate[k] = first + float(k) * stride;
        attempt(g, state, candidate);
    }

    ZEROPOINT_INLINE void attempts(int g, State& state, Floats first, Floats stride, int count) const {
        int k = 0;
        for (; k + 4 <= count; k += 4) attempt<4>(g, state, first + float(k) * stride, stride);
        for (; k < count; ++k) attempt<1>(g, state, first + float(k) * stride, stride);
    }

    // Scales that put the weight of the largest importance of a group on a level.
    ZEROPOINT_INLINE void attempt_exact(int g, State& state) const {
        Floats candidate[exact_count];
        for (int k = 0; k < exact_count; ++k) {
            const Floats level = Codes::nearest(heaviest[g] * inverse(plain[g] * exact_near[k]));
            const Floats scale = heaviest[g] / select(level == 0.0f, splat(1), level);
            candidate[k] = round_even(scale * inverse(state.d.value));
        }
        attempt(g, state, candidate);
    }

    ZEROPOINT_INLINE void measure_groups() {
        for (int g = 0; g < groups; ++g) {
            const Floats *x = tile.weights + g * Size, *w = tile.importance + g * Size;
            Floats high = splat(0), low = splat(0), sum = splat(0);
            for (int c = 0; c < Size; ++c) {
                high = larger(high, x[c]);
                low = smaller(low, x[c]);
                sum += Weighted ? (x[c] * x[c]) * w[c] : x[c] * x[c];
            }
            if constexpr (Weighted) {
                Floats weightiest = w[0];
                heaviest[g] = x[0];
                for (int c = 1; c < Size; ++c) {
                    const Ints more = w[c] > weightiest;
                    weightiest = select(more, w[c], weightiest);
                    heaviest[g] = select(more, x[c], heaviest[g]);
                }
            }
            plain[g] = select(-low > high, low, high) * (1.0f / Codes::low);
            zero[g] = sum;
            largest[g] = larger(high, -low);
        }
    }

    // All groups from scale 0 on: start(g, state) tries its candidates.
    template <typename Start>
    ZEROPOINT_INLINE State begin(const Factor& d, Start start) const {
        State state;
        state.d = d;
        state.total = splat(0);
        for (int g = 0; g < groups; ++g) {
            state.scale[g] = splat(0);
            state.error[g] = zero[g];
            start(g, state);
            state.total += state.error[g];
        }
        return state;
    }

    ZEROPOINT_INLINE static void keep_better(State& best, const State& other) {
        const Ints better = other.total < best.total;
        best.d = choose(better, other.d, best.d);
        best.total = select(better, other.total, best.total);
        for (int g = 0; g < groups; ++g) best.scale[g] = select(better, other.scale[g], best.scale[g]);
    }

    // The d that fits codes and group scales best, times `nudge`.
    ZEROPOINT_INLINE Factor refit(const State& state, float nudge) const {
        Floats over = splat(0), under = splat(0);
        for (int g = 0; g < groups; ++g) {
            const Floats *x = tile.weights + g * Size, *w = tile.importance + g * Size;
            const Floats inverse_scale = inverse(state.d.value * state.scale[g]);
            Floats xq = splat(0), qq = splat(0);
            for (int c = 0; c < Size; ++c) {
                const Floats q = Codes::nearest(x[c] * inverse_scale);
                const Floats wq = Weighted ? w[c] * q : q;
                xq += wq * x[c];
                qq += wq * q;
            }
            over += state.scale[g] * xq;
            under += (state.scale[g] * state.scale[g]) * qq;
        }
        return round_factor(select(under > 0.0f, over / under, state.d.value) * nudge, tile);
    }

    ZEROPOINT_INLINE State search() {
        measure_groups();
        Floats widest = splat(0);
        for (int g = 0; g < groups; ++g)
            widest = select(absolute(plain[g]) > absolute(widest), plain[g], widest);
        const auto around_plain = [&](int g, State& state, int below, int count, int stride, bool both) {
            const Floats middle = round_even(plain[g] * inverse(state.d.value));
            const Floats sign = select(middle < 0.0f, splat(-1), splat(1));
            const Floats first = middle - sign * float(below * stride), step = sign * float(stride);
            attempts(g, state, first, step, count);
            if (both) attempts(g, state, -first, -step, count);
        };
        State best = begin(round_factor(widest * (1.0f / Low), tile),
                           [&](int g, State& state) { around_plain(g, state, 0, 1, 1, false); });
        for (int r = 0; r < 3 && budget.slacks[r] > 0; ++r) {
            const Factor wider = round_factor(widest * (budget.slacks[r] / Low), tile);
            keep_better(best, begin(wider, [&](int g, State& state) {
                            around_plain(g, state, budget.below, budget.below + budget.above, budget.stride,
                                         budget.both_signs);
                            if constexpr (Weighted) attempt_exact(g, state);
                        }));
        }
        for (int r = 0; r < 4 && budget.nudges[r] > 0; ++r) {
            const Factor d = refit(best, budget.nudges[r]);
            const Floats change = best.d.value * inverse(d.value);
            keep_better(best, begin(d, [&](int g, State& state) {
                            const Floats middle = round_even(best.scale[g] * change);
                            attempts(g, state, middle - float(budget.near / 2), splat(1), budget.near);
                        }));
        }
        return best;
    }

    // Writes the nearest codes, counted from 0, over the weights.
    ZEROPOINT_INLINE void set_codes(const State& state) {
        for (int g = 0; g < groups; ++g) {
            const Floats inverse_scale = inverse(state.d.value * state.scale[g]);
            for (int k = g * Size; k < (g + 1) * Size; ++k)
                tile.set_code(k, Codes::code(tile.weights[k] * inverse_scale));
        }
    }
};

template <typename Block>
using Pack = void(const Tile& tile, const Ints* groups, Ints d, Ints (&words)[(sizeof(Block) + 3) / 4]);

template <typename Block, typename Codes, int Size, int Low, int High, bool Weighted, SearchBudget budget>
void encode(Pack<Block> pack, const Source& source, u8* blocks, std::size_t first, std::size_t count) {
    using Search = ScaleSearch<Codes, Size, Low, High, Weighted, budget>;
    static thread_local Tile tile;
    for (std::size_t i = first; i < first + count; i += lanes) {
        const std::size_t used = std::min<std::size_t>(lanes, first + count - i);
        load_tile<Weighted>(tile, source, i, used, -Search::reach, Search::reach);
        Search search(tile);
        const typename Search::State found = search.search();
        search.set_codes(found);
        Ints groups[Search::groups], words[(sizeof(Block) + 3) / 4];
        for (int g = 0; g < Search::groups; ++g) groups[g] = __builtin_convertvector(found.scale[g], Ints);
        pack(tile, groups, found.d.half, words);
        store<sizeof(Block)>(words, blocks + i * sizeof(Block), used);
    }
}

void pack_q3_k(const Tile& tile, const Ints* groups, Ints d, Ints (&words)[28]) {
    for (int j = 0; j < 8; ++j)
        words[j] = join_bytes([&](int b) {
            Ints byte = splat_int(0);
            for (int m = 0; m < 8; ++m) byte |= (tile.code(32 * m + 4 * j + b) >> 2) << m;
            return byte;
        });
    for (int j = 0; j < 16; ++j)
        words[8 + j] = join_bytes([&](int b) { return pack4(tile, j / 8, j % 8 * 4 + b, 0); });
    const auto stored = [&](int g) { return groups[g] + 32; };
    for (int j = 0; j < 2; ++j)
        words[24 + j] =
            join_bytes([&](int b) { return (stored(4 * j + b) & 15) | (stored(8 + 4 * j + b) & 15) << 4; });
    words[26] = join_bytes([&](int b) {
        return stored(b) >> 4 | stored(4 + b) >> 4 << 2 | stored(8 + b) >> 4 << 4 | stored(12 + b) >> 4 << 6;
    });
    words[27] = d;
}

void pack_q6_k(const Tile& tile, const Ints* groups, Ints d, Ints (&words)[53]) {
    for (int j = 0; j < 32; ++j)
        words[j] = join_bytes([&](int b) {
            const int k = j / 16 * 128 + j % 16 * 4 + b;
            return (tile.code(k) & 15) | (tile.code(k + 64) & 15) << 4;
        });
    for (int j = 0; j < 16; ++j)
        words[32 + j] = join_bytes([&](int b) { return pack4(tile, j / 8, j % 8 * 4 + b, 4); });
    for (int j = 0; j < 4; ++j) words[48 + j] = join_bytes([&](int b) { return groups[4 * j + b] & 255; });
    words[52] = d;
}

void pack_iq4_xs(const Tile& tile, const Ints* groups, Ints d, Ints (&words)[34]) {
    const auto stored = [&](int g) { return groups[g] + 32; };
    words[0] = d;
    for (int g = 0; g < 8; ++g) words[0] |= stored(g) >> 4 << (16 + 2 * g);
    words[1] = join_bytes([&](int b) { return (stored(2 * b) & 15) | (stored(2 * b + 1) & 15) << 4; });
    for (int j = 0; j < 32; ++j)
        words[2 + j] = join_bytes([&](int b) {
            const int k = j / 4 * 32 + j % 4 * 4 + b;
            return tile.code(k) | tile.code(k + 16) << 4;
        });
}

}  // namespace

void encode_q3_k(const Source& source, u8* blocks, std::size_t first, std::size_t count) {
    constexpr SearchBudget plain{.below = 4, .above = 4, .near = 1, .nudges = {1}};
    constexpr SearchBudget weighted{.below = 3,
                                    .above = 3,
                                    .stride = 2,
                                    .both_signs = true,
                                    .slacks = {1, 1.36f},
                                    .near = 4,
                                    .nudges = {1, 1.03f}};
    const auto run = is_weighted(source) ? encode<BlockQ3_K, Integers<-4, 3>, 16, -32, 31, true, weighted>
                                         : encode<BlockQ3_K, Integers<-4, 3>, 16, -32, 31, false, plain>;
    run(pack_q3_k, source, blocks, first, count);
}

void encode_q6_k(const Source& source, u8* blocks, std::size_t first, std::size_t count) {
    constexpr SearchBudget plain{.below = 4, .above = 20, .near = 1, .nudges = {1}};
    constexpr SearchBudget weighted{.below = 4, .above = 16, .near = 1, .nudges = {1}};
    const auto run = is_weighted(source) ? encode<BlockQ6_K, Integers<-32, 31>, 16, -128, 127, true, weighted>
                                         : encode<BlockQ6_K, Integers<-32, 31>, 16, -128, 127, false, plain>;
    run(pack_q6_k, source, blocks, first, count);
}

void encode_iq4_xs(const Source& source, u8* blocks, std::size_t first, std::size_t count) {
    constexpr SearchBudget plain{
        .below = 4, .above = 8, .both_signs = true, .near = 4, .nudges = {1.03f, 0.97f, 1}};
    // The slack lets the largest weight lie on level -127 with group scale -32 or on level 113 with 31.
    constexpr SearchBudget weighted{.below = 4,
                                    .above = 8,
                                    .both_signs = true,
                                    .slacks = {float(127.0 * 32 / (113 * 31))},
                                    .near = 4,
                                    .nudges = {1.03f, 0.97f, 1}};
    const auto run = is_weighted(source) ? encode<BlockIQ4_XS, Iq4, 32, -32, 31, true, weighted>
                                         : encode<BlockIQ4_XS, Iq4, 32, -32, 31, false, plain>;
    run(pack_iq4_xs, source, blocks, first, count);
}

}  // namespace zeropoint::ZEROPOINT_VARIANT
