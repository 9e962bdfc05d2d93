// The encoders of Q2_K, Q4_K and Q5_K, whose groups have a scale and a minimum. The same operations in the
// same order as `MinimumSearch` in src/zeropoint/formats/encoders/superblock_min.py. Minimums are
// subtracted here, as they are stored.
#include "codecs/variants/blocks.hpp"
#include "codecs/variants/encoders.hpp"
#include "codecs/variants/superblocks.hpp"

namespace zeropoint::ZEROPOINT_VARIANT {
namespace {

// Number of candidates that are tried; the numbers are those of `MinimumSearch` in
// src/zeropoint/formats/encoders/superblock_min.py, and a test compares them. Its `stretch` is {shrink,
// step, steps} here, its `window` {scales, minimums} and its `near` {near_scales, near_minimums}.
struct SearchBudget {
    float shrink = -0.9f, step = 0.3f;
    int steps = 6;
    int scales, minimums;
    int near_scales = 1, near_minimums = 1;
    float nudges[4][2];  // of d and dmin in each round; ends at 0
};

// 256 / Size groups with codes 0 … Top, scales d · (0 … Most) and minimums dmin · (0 … Most).
template <int Top, int Size, int Most, bool Weighted, SearchBudget budget>
struct MinimumSearch {
    static constexpr int groups = block_weights / Size;

    struct State {
        Factor d, dmin;
        Floats scale[groups], minimum[groups], error[groups], total;
    };
    struct Line {  // weight = scale · code − minimum
        Floats scale, minimum;
    };

    Tile& tile;
    Line plain[groups], fitted[groups];
    Floats zero[groups];               // error of scale 0 and minimum 0
    Floats sum_w[groups], sum_x[groups];  // of importance, and of importance · weight

    explicit MinimumSearch(Tile& tile) : tile(tile) {}

    static ZEROPOINT_INLINE Floats nearest(Floats ratio) {
        return clamp(ratio + rounder, rounder, rounder + Top) - rounder;
    }

    struct Sums {  // of importance times code, code², weight · code
        Floats q, qq, xq;
    };
    ZEROPOINT_INLINE Sums sums(int g, Floats inverse_scale, Floats offset) const {
        const Floats *x = tile.weights + g * Size, *w = tile.importance + g * Size;
        Sums sums{splat(0), splat(0), splat(0)};
        for (int c = 0; c < Size; ++c) {
            const Floats q = nearest(x[c] * inverse_scale + offset);
            const Floats wq = Weighted ? w[c] * q : q;
            sums.q += wq;
            sums.qq += wq * q;
            sums.xq += wq * x[c];
        }
        return sums;
    }

    ZEROPOINT_INLINE void measure_group(int g) {
        const Floats *x = tile.weights + g * Size, *w = tile.importance + g * Size;
        Floats low = splat(0), high = x[0], sw = splat(0), sx = splat(0), sxx = splat(0);
        for (int c = 0; c < Size; ++c) {
            low = smaller(low, x[c]);
            high = larger(high, x[c]);
            sw += Weighted ? w[c] : splat(1);
            sx += Weighted ? w[c] * x[c] : x[c];
            sxx += Weighted ? (x[c] * x[c]) * w[c] : x[c] * x[c];
        }
        sum_w[g] = sw;
        sum_x[g] = sx;
        zero[g] = sxx;
        const Floats range = high - low;
        plain[g] = {select(range != 0.0f, range * (1.0f / Top), -low), -low};
    }

    // The best of several lines, each fitted to the codes that a slightly narrower range gives.
    ZEROPOINT_INLINE void fit_group(int g) {
        const Floats inverse_scale = inverse(plain[g].scale), sw = sum_w[g], sx = sum_x[g];
        Line best = plain[g];
        Floats best_gain = splat(0);
        for (int k = 0; k < budget.steps; ++k) {
            const Floats narrower = inverse_scale * (1 + (budget.shrink + budget.step * float(k)) / Top);
            const Sums s = sums(g, narrower, plain[g].minimum * narrower);
            const Floats product = sw * s.qq, determinant = product - s.q * s.q;
            const Floats scale = (sw * s.xq - sx * s.q) / determinant;
            const Floats minimum = (s.q * s.xq - s.qq * sx) / determinant;
            const Ints both = (determinant > 1e-6f * product) & (minimum >= 0.0f);
            const Floats alone = select(s.qq > 0.0f, s.xq / s.qq, splat(0));
            const Floats gain = select(both, scale * s.xq - minimum * sx, alone * s.xq);
            const Ints better = gain > best_gain;
            best_gain = select(better, gain, best_gain);
            best.scale = select(better, select(both, scale, alone), best.scale);
            best.minimum = select(better, select(both, minimum, splat(0)), best.minimum);
        }
        fitted[g] = best;
    }

    // Positions of a group's candidates: around (scale, minimum), along the line that keeps the mean.
    struct Centre {
        Floats scale, minimum, slope;
    };
    ZEROPOINT_INLINE Centre centre(int g, const State& state, Floats scale, Floats minimum) const {
        const Floats s = clamp(round_even(scale), 0, Most), m = clamp(round_even(minimum), 0, Most);
        const Floats mean = sum_x[g] / sum_w[g] + m * state.dmin.value;
        return {s, m, (mean * inverse(s)) * inverse(state.dmin.value)};
    }

    // Tries K candidates of a window of 2 · Scales + 1 by 2 · Minimums + 1, from number `first` on.
    template <int K, int Scales, int Minimums>
    ZEROPOINT_INLINE void attempt(int g, State& state, const Centre& centre, int first) const {
        Floats scale[K], minimum[K], real[K], inverse_scale[K], offset[K], sum[K];
        for (int k = 0; k < K; ++k) {
            const int row = (first + k) / (2 * Minimums + 1) - Scales;
            const int column = (first + k) % (2 * Minimums + 1) - Minimums;
            scale[k] = clamp(centre.scale + float(row), 0, Most);
            const Floats along = round_even(centre.minimum + (scale[k] - centre.scale) * centre.slope);
            minimum[k] = clamp(along + float(column), 0, Most);
            real[k] = state.d.value * scale[k];
            inverse_scale[k] = inverse(real[k]);
            offset[k] = (state.dmin.value * minimum[k]) * inverse_scale[k];
            sum[k] = splat(0);
        }
        const Floats *x = tile.weights + g * Size, *w = tile.importance + g * Size;
        for (int c = 0; c < Size; ++c) {
            const Floats weight = x[c];
            for (int k = 0; k < K; ++k) {
                const Floats ratio = weight * inverse_scale[k] + offset[k];
                const Floats rest = ratio - nearest(ratio);
                sum[k] += Weighted ? (rest * rest) * w[c] : rest * rest;
            }
        }
        for (int k = 0; k < K; ++k) {
            const Floats error = sum[k] * (real[k] * real[k]);
            const Ints lower = (error < state.error[g]) & (real[k] != 0.0f);
            state.error[g] = select(lower, error, state.error[g]);
            state.scale[g] = select(lower, scale[k], state.scale[g]);
            state.minimum[g] = select(lower, minimum[k], state.minimum[g]);
        }
    }

    // All groups from scale 0 on, with windows around centre_of(g) = {scale, minimum} in weights.
    template <int Scales, int Minimums, typename CentreOf>
    ZEROPOINT_INLINE State begin(const Factor& d, const Factor& dmin, CentreOf centre_of) const {
        constexpr int count = (2 * Scales + 1) * (2 * Minimums + 1);
        State state;
        state.d = d;
        state.dmin = dmin;
        state.total = splat(0);
        const Floats inverse_d = inverse(d.value), inverse_dmin = inverse(dmin.value);
        for (int g = 0; g < groups; ++g) {
            state.scale[g] = state.minimum[g] = splat(0);
            state.error[g] = zero[g];
            const Line line = centre_of(g);
            const Centre middle = centre(g, state, line.scale * inverse_d, line.minimum * inverse_dmin);
            for (int k = 0; k + 4 <= count; k += 4) attempt<4, Scales, Minimums>(g, state, middle, k);
            if constexpr (count % 4) attempt<count % 4, Scales, Minimums>(g, state, middle, count / 4 * 4);
            state.total += state.error[g];
        }
        return state;
    }

    ZEROPOINT_INLINE State start(const Line (&lines)[groups], auto begin_around) const {
        Floats scale = splat(0), minimum = splat(0);
        for (const Line& line : lines) {
            scale = larger(scale, line.scale);
            minimum = larger(minimum, line.minimum);
        }
        return begin_around(round_factor(scale * (1.0f / Most), tile),
                            round_factor(minimum * (1.0f / Most), tile), [&](int g) { return lines[g]; });
    }

    ZEROPOINT_INLINE static void keep_better(State& best, const State& other) {
        const Ints better = other.total < best.total;
        best.d = choose(better, other.d, best.d);
        best.dmin = choose(better, other.dmin, best.dmin);
        best.total = select(better, other.total, best.total);
        for (int g = 0; g < groups; ++g) {
            best.scale[g] = select(better, other.scale[g], best.scale[g]);
            best.minimum[g] = select(better, other.minimum[g], best.minimum[g]);
        }
    }

    // The d and dmin that fit codes, scales and minimums best, times the nudges: the solution of two normal
    // equations, or of the one for d alone where the two have no solution with valid signs.
    ZEROPOINT_INLINE void refit(const State& state, const float (&nudge)[2], Factor& d, Factor& dmin) const {
        Floats ss = splat(0), sm = splat(0), mm = splat(0), sx = splat(0), mx = splat(0);
        for (int g = 0; g < groups; ++g) {
            const Floats s = state.scale[g], m = state.minimum[g];
            const Floats inverse_scale = inverse(state.d.value * s);
            const Sums group = sums(g, inverse_scale, (state.dmin.value * m) * inverse_scale);
            ss += (s * s) * group.qq;
            sm += (s * m) * group.q;
            mm += (m * m) * sum_w[g];
            sx += s * group.xq;
            mx += m * sum_x[g];
        }
        const Floats product = ss * mm, determinant = product - sm * sm;
        const Floats both_d = (mm * sx - sm * mx) / determinant;
        const Floats both_dmin = (sm * sx - ss * mx) / determinant;
        const Ints both = (determinant > 1e-6f * product) & (both_d > 0.0f) & (both_dmin >= 0.0f);
        const Floats alone = select(ss > 0.0f, (sx + state.dmin.value * sm) / ss, state.d.value);
        const Floats new_d = select(both, both_d, larger(alone, splat(0)));
        d = round_factor(new_d * nudge[0], tile);
        dmin = round_factor(select(both, both_dmin, state.dmin.value) * nudge[1], tile);
    }

    ZEROPOINT_INLINE State search() {
        for (int g = 0; g < groups; ++g) {
            measure_group(g);
            fit_group(g);
        }
        State best = start(plain, [&](const Factor& d, const Factor& dmin, auto line) {
            return begin<0, 0>(d, dmin, line);
        });
        keep_better(best, start(fitted, [&](const Factor& d, const Factor& dmin, auto line) {
                        return begin<budget.scales, budget.minimums>(d, dmin, line);
                    }));
        for (int r = 0; r < 4 && budget.nudges[r][0] > 0; ++r) {
            Factor d, dmin;
            refit(best, budget.nudges[r], d, dmin);
            keep_better(best, begin<budget.near_scales, budget.near_minimums>(d, dmin, [&](int g) {
                            return Line{best.d.value * best.scale[g], best.dmin.value * best.minimum[g]};
                        }));
        }
        return best;
    }

    // Writes the nearest codes over the weights.
    ZEROPOINT_INLINE void set_codes(const State& state) {
        for (int g = 0; g < groups; ++g) {
            const Floats inverse_scale = inverse(state.d.value * state.scale[g]);
            const Floats offset = (state.dmin.value * state.minimum[g]) * inverse_scale;
            for (int k = g * Size; k < (g + 1) * Size; ++k)
                tile.set_code(
                    k, __builtin_convertvector(nearest(tile.weights[k] * inverse_scale + offset), Ints));
        }
    }
};

// Fields of a block other than its codes: d and dmin as one word, and the scale and minimum of each group.
struct Header {
    Ints factors;
    Ints scale[16], minimum[16];
};

template <typename Block>
using Pack = void(const Tile& tile, const Header& header, Ints (&words)[sizeof(Block) / 4]);

template <typename Block, int Top, int Size, int Most, bool Weighted, SearchBudget budget>
void encode(Pack<Block> pack, const Source& source, u8* blocks, std::size_t first, std::size_t count) {
    using Search = MinimumSearch<Top, Size, Most, Weighted, budget>;
    static thread_local Tile tile;
    for (std::size_t i = first; i < first + count; i += lanes) {
        const std::size_t used = std::min<std::size_t>(lanes, first + count - i);
        load_tile<Weighted>(tile, source, i, used, -largest_half * Most, largest_half * Most * Top);
        Search search(tile);
        const typename Search::State found = search.search();
        search.set_codes(found);
        Header header;
        header.factors = found.d.half | found.dmin.half << 16;
        for (int g = 0; g < Search::groups; ++g) {
            header.scale[g] = __builtin_convertvector(found.scale[g], Ints);
            header.minimum[g] = __builtin_convertvector(found.minimum[g], Ints);
        }
        Ints words[sizeof(Block) / 4];
        pack(tile, header, words);
        store<sizeof(Block)>(words, blocks + i * sizeof(Block), used);
    }
}

void pack_q2_k(const Tile& tile, const Header& header, Ints (&words)[21]) {
    for (int j = 0; j < 4; ++j)
        words[j] =
            join_bytes([&](int b) { return header.scale[4 * j + b] | header.minimum[4 * j + b] << 4; });
    for (int j = 0; j < 16; ++j)
        words[4 + j] = join_bytes([&](int b) { return pack4(tile, j / 8, j % 8 * 4 + b, 0); });
    words[20] = header.factors;
}

// The three words of group scales and minimums that Q4_K and Q5_K share.
ZEROPOINT_INLINE void pack_groups(const Header& header, Ints* words) {
    words[0] = join_bytes([&](int b) { return header.scale[b] | header.scale[4 + b] >> 4 << 6; });
    words[1] = join_bytes([&](int b) { return header.minimum[b] | header.minimum[4 + b] >> 4 << 6; });
    words[2] =
        join_bytes([&](int b) { return (header.scale[4 + b] & 15) | (header.minimum[4 + b] & 15) << 4; });
}

// Words of codes' low 4 bits, as in Q4_K and Q5_K.
ZEROPOINT_INLINE void pack_nibbles(const Tile& tile, Ints* words) {
    for (int j = 0; j < 32; ++j)
        words[j] = join_bytes([&](int b) {
            const int k = j / 8 * 64 + j % 8 * 4 + b;
            return (tile.code(k) & 15) | (tile.code(k + 32) & 15) << 4;
        });
}

void pack_q4_k(const Tile& tile, const Header& header, Ints (&words)[36]) {
    words[0] = header.factors;
    pack_groups(header, words + 1);
    pack_nibbles(tile, words + 4);
}

void pack_q5_k(const Tile& tile, const Header& header, Ints (&words)[44]) {
    words[0] = header.factors;
    pack_groups(header, words + 1);
    for (int j = 0; j < 8; ++j)
        words[4 + j] = join_bytes([&](int b) {
            Ints byte = splat_int(0);
            for (int m = 0; m < 8; ++m) byte |= (tile.code(32 * m + 4 * j + b) >> 4) << m;
            return byte;
        });
    pack_nibbles(tile, words + 12);
}

}  // namespace

void encode_q2_k(const Source& source, u8* blocks, std::size_t first, std::size_t count) {
    constexpr SearchBudget plain{.scales = 4, .minimums = 1, .nudges = {{1, 1}}};
    constexpr SearchBudget weighted{.scales = 4, .minimums = 2, .nudges = {{1.05f, 1}, {1, 1.05f}, {1, 1}}};
    const auto run = is_weighted(source) ? encode<BlockQ2_K, 3, 16, 15, true, weighted>
                                         : encode<BlockQ2_K, 3, 16, 15, false, plain>;
    run(pack_q2_k, source, blocks, first, count);
}

void encode_q4_k(const Source& source, u8* blocks, std::size_t first, std::size_t count) {
    constexpr SearchBudget plain{.scales = 4, .minimums = 1, .nudges = {{1.05f, 1.05f}, {1, 1}}};
    constexpr SearchBudget weighted{.scales = 6, .minimums = 1, .nudges = {{1.05f, 1}, {1, 1.05f}, {1, 1}}};
    const auto run = is_weighted(source) ? encode<BlockQ4_K, 15, 32, 63, true, weighted>
                                         : encode<BlockQ4_K, 15, 32, 63, false, plain>;
    run(pack_q4_k, source, blocks, first, count);
}

void encode_q5_k(const Source& source, u8* blocks, std::size_t first, std::size_t count) {
    constexpr SearchBudget plain{.scales = 4, .minimums = 1, .nudges = {{1.05f, 1.05f}, {1, 1}}};
    constexpr SearchBudget weighted{.scales = 6, .minimums = 1, .nudges = {{1.05f, 1}, {1, 1.05f}, {1, 1}}};
    const auto run = is_weighted(source) ? encode<BlockQ5_K, 31, 32, 63, true, weighted>
                                         : encode<BlockQ5_K, 31, 32, 63, false, plain>;
    run(pack_q5_k, source, blocks, first, count);
}

}  // namespace zeropoint::ZEROPOINT_VARIANT
