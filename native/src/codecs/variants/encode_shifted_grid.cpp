// The encoders of IQ1_S and IQ1_M, whose codes name points of a grid that is shifted up or down. The same
// operations in the same order as src/zeropoint/formats/encoders/shifted_grid.py.
#include "codecs/variants/blocks.hpp"
#include "codecs/variants/encoders.hpp"
#include "codecs/variants/grid_points.hpp"
#include "codecs/variants/superblocks.hpp"

namespace zeropoint::ZEROPOINT_VARIANT {
namespace {

constexpr Codebook book_iq1(grid_iq1_s, std::array<int, 3>{-1, 0, 1});

constexpr float level_shift = 0.125f;
constexpr float max_multiple = 15;
constexpr int vector_size = book_iq1.size, vectors = block_weights / vector_size;

// Number of candidates that are tried: the fields of the same names of `ShiftedGridSearch` in
// src/zeropoint/formats/encoders/shifted_grid.py. A test compares the bytes with those of Python.
constexpr float slacks[] = {0.8f, 0.9f, 1, 1.1f, 1.2f};
constexpr int below = 2, above = 2, near = 3;

// Groups of `Size` weights with scales d · (1, 3 … 15). All vectors of a group have the same shift, unless it
// is `Separate`.
template <int Size, bool Separate>
struct ShiftedGridSearch {
    static constexpr int groups = block_weights / Size, group_vectors = Size / vector_size;
    using Levels = Floats[3];

    struct Scales {
        Factor d;
        Floats multiple[groups], total;
    };

    struct Points {
        Ints code[vectors], minus[vectors];
    };

    const Tile& tile;
    Floats plain[groups];  // about the scale of each group
    PointCosts<book_iq1> costs;

    explicit ShiftedGridSearch(const Tile& tile) : tile(tile) {}

    ZEROPOINT_INLINE static void scale_levels(Floats scale, float shift, Levels& scaled) {
        for (int l = 0; l < 3; ++l) scaled[l] = scale * (book_iq1.levels[l] + shift);
    }

    // Mean magnitude of the weights of each group, weighted by cost · magnitude.
    ZEROPOINT_INLINE void measure_groups() {
        for (int g = 0; g < groups; ++g) {
            Floats over = splat(0), under = splat(0);
            for (int k = g * Size; k < (g + 1) * Size; ++k) {
                const Floats magnitude = absolute(tile.weights[k]), loss = magnitude * tile.importance[k];
                over += loss * magnitude;
                under += loss;
            }
            plain[g] = select(over > 0.0f, over / under, splat(0));
        }
    }

    // The error of vector v if every weight could have any level.
    ZEROPOINT_INLINE Floats free_error(int v, const Levels& scaled) const {
        Floats error = splat(0);
        for (int k = v * vector_size; k < (v + 1) * vector_size; ++k) {
            const Floats x = tile.weights[k];
            const Floats rest =
                smaller(smaller(absolute(x - scaled[0]), absolute(x - scaled[1])), absolute(x - scaled[2]));
            error += (rest * rest) * tile.importance[k];
        }
        return error;
    }

    ZEROPOINT_INLINE Floats free_error_of_group(int g, Floats scale) const {
        Levels up, down;
        scale_levels(scale, level_shift, up);
        scale_levels(scale, -level_shift, down);
        Floats sum = splat(0), other = splat(0);
        for (int v = g * group_vectors; v < (g + 1) * group_vectors; ++v) {
            const Floats above_error = free_error(v, up), below_error = free_error(v, down);
            if constexpr (Separate) {
                sum += smaller(below_error, above_error);
            } else {
                sum += above_error;
                other += below_error;
            }
        }
        return Separate ? sum : smaller(other, sum);
    }

    // The best of `count` multiples of each group, from the one next to middle(g) + 2 · first on.
    template <typename Middle>
    ZEROPOINT_INLINE Scales attempts(const Factor& d, int first, int count, Middle middle) const {
        Scales found;
        found.d = d;
        found.total = splat(0);
        for (int g = 0; g < groups; ++g) {
            Floats error = splat(__builtin_inff());
            found.multiple[g] = splat(1);
            const Floats centre = odd_multiple(middle(g), max_multiple);
            for (int k = first; k < first + count; ++k) {
                const Floats multiple = clamp(centre + float(2 * k), 1, max_multiple);
                const Floats here = free_error_of_group(g, d.value * multiple);
                found.multiple[g] = select(here < error, multiple, found.multiple[g]);
                error = smaller(here, error);
            }
            found.total += error;
        }
        return found;
    }

    ZEROPOINT_INLINE static void keep_better(Scales& best, const Scales& other) {
        const Ints better = other.total < best.total;
        best.d = choose(better, other.d, best.d);
        best.total = select(better, other.total, best.total);
        for (int g = 0; g < groups; ++g)
            best.multiple[g] = select(better, other.multiple[g], best.multiple[g]);
    }

    // Sums Σ cost · x · level and Σ cost · level² over vector v at point `code`.
    ZEROPOINT_INLINE void add_fit(int v, Ints code, Floats shift, Floats& xq, Floats& qq) const {
        for (int i = 0, k = v * vector_size; i < vector_size; ++i, ++k) {
            Floats level = splat(0);
            for (int n = 0; n < lanes; ++n) level[n] = float(i8(book_iq1.grid[code[n]] >> 8 * i & 255u));
            const Floats q = level + shift, wq = tile.importance[k] * q;
            xq += wq * tile.weights[k];
            qq += wq * q;
        }
    }

    // Sets the points nearest under given scales, whose total becomes the error of these points, and returns
    // the d that fits them best; 0 if d is 0.
    Floats set_points(Scales& scales, Points& points) {
        Floats over = splat(0), under = splat(0);
        scales.total = splat(0);
        for (int g = 0; g < groups; ++g) {
            Floats error[2][group_vectors], sum[2];
            Ints code[2][group_vectors];
            for (int s = 0; s < 2; ++s) {
                Levels scaled;
                scale_levels(scales.d.value * scales.multiple[g], s ? -level_shift : level_shift, scaled);
                sum[s] = splat(0);
                for (int i = 0; i < group_vectors; ++i) {
                    const int k = g * Size + i * vector_size;
                    costs.fill(tile.weights + k, tile.importance + k, scaled);
                    code[s][i] = costs.nearest(error[s][i]);
                    sum[s] += error[s][i];
                }
            }
            Floats xq = splat(0), qq = splat(0);
            for (int i = 0; i < group_vectors; ++i) {
                const int v = g * group_vectors + i;
                const Ints minus = Separate ? error[1][i] < error[0][i] : sum[1] < sum[0];
                points.minus[v] = minus;
                points.code[v] = minus ? code[1][i] : code[0][i];
                scales.total += select(minus, error[1][i], error[0][i]);
                add_fit(v, points.code[v], select(minus, splat(-level_shift), splat(level_shift)), xq, qq);
            }
            over += scales.multiple[g] * xq;
            under += (scales.multiple[g] * scales.multiple[g]) * qq;
        }
        return select((over > 0.0f) & (scales.d.value != 0.0f), over / under, scales.d.value);
    }

    // All weights 0.
    ZEROPOINT_INLINE Scales zero() const {
        Scales none{};
        for (Floats& multiple : none.multiple) multiple = splat(1);
        for (int g = 0; g < groups; ++g) none.total += error_of_zeros<Size>(tile, g * Size);
        return none;
    }

    // The best d and multiples; sets the points.
    Scales search(Points& points) {
        measure_groups();
        Floats largest = splat(0);
        for (const Floats& scale : plain) largest = larger(largest, scale);
        Scales best = zero();
        for (float slack : slacks) {
            const Factor d = round_factor(largest * (slack / max_multiple), tile);
            const Floats inverse_d = inverse(d.value);
            keep_better(best,
                        attempts(d, -below, below + above, [&](int g) { return plain[g] * inverse_d; }));
        }
        Floats fit = set_points(best, points);
        const Factor d = round_factor(fit, tile);
        const Floats change = best.d.value * inverse(d.value);
        Scales next = attempts(d, -(near / 2), near, [&](int g) { return best.multiple[g] * change; });
        Points others;
        const Floats other_fit = set_points(next, others);
        const Ints better = next.total < best.total;
        keep_better(best, next);
        fit = select(better, other_fit, fit);
        for (int v = 0; v < vectors; ++v) {
            points.code[v] = better ? others.code[v] : points.code[v];
            points.minus[v] = better ? others.minus[v] : points.minus[v];
        }
        best.d = round_factor(fit, tile);
        return best;
    }
};

// Contents of one block.
template <typename Search>
struct Contents {
    u32 d, scales[Search::groups], codes[vectors], minus[vectors];

    Contents(const typename Search::Scales& found, const typename Search::Points& points, std::size_t lane)
        : d(u32(found.d.half[lane])) {
        for (int g = 0; g < Search::groups; ++g) scales[g] = (u32(found.multiple[g][lane]) - 1) / 2;
        for (int v = 0; v < vectors; ++v) {
            codes[v] = u32(points.code[v][lane]);
            minus[v] = u32(points.minus[v][lane]) & 1;
        }
    }
};

template <typename Block, int Size, bool Separate, typename Pack>
void encode(const Source& source, u8* blocks, std::size_t first, std::size_t count, Pack pack) {
    using Search = ShiftedGridSearch<Size, Separate>;
    constexpr float reach = largest_half * max_multiple;
    const bool weighted = is_weighted(source);
    static thread_local Tile tile;
    for (std::size_t i = first; i < first + count; i += lanes) {
        const std::size_t used = std::min<std::size_t>(lanes, first + count - i);
        load_tile_with_costs(tile, source, weighted, i, used, reach);
        typename Search::Points points;
        Search search(tile);
        const typename Search::Scales found = search.search(points);
        for (std::size_t lane = 0; lane < used; ++lane) {
            Block block{};
            pack(Contents<Search>(found, points, lane), block);
            std::memcpy(blocks + (i + lane) * sizeof block, &block, sizeof block);
        }
    }
}

}  // namespace

void encode_iq1_s(const Source& source, u8* blocks, std::size_t first, std::size_t count) {
    encode<BlockIQ1_S, 32, false>(source, blocks, first, count, [](const auto& contents, BlockIQ1_S& block) {
        block.d = u16(contents.d);
        for (int v = 0; v < vectors; ++v) block.codes[v] = u8(contents.codes[v]);
        for (int g = 0; g < 8; ++g) {
            u32 word = contents.scales[g] << 12 | contents.minus[4 * g] << 15;
            for (int v = 0; v < 4; ++v) word |= contents.codes[4 * g + v] >> 8 << 3 * v;
            block.groups[g] = u16(word);
        }
    });
}

void encode_iq1_m(const Source& source, u8* blocks, std::size_t first, std::size_t count) {
    encode<BlockIQ1_M, 16, true>(source, blocks, first, count, [](const auto& contents, BlockIQ1_M& block) {
        for (int v = 0; v < vectors; ++v) {
            block.codes[v] = u8(contents.codes[v]);
            block.high[v / 2] |= u8((contents.codes[v] >> 8 | contents.minus[v] << 3) << v % 2 * 4);
        }
        for (int k = 0; k < 4; ++k) {
            u32 word = (contents.d >> 4 * k & 15) << 12;
            for (int g = 0; g < 4; ++g) word |= contents.scales[4 * k + g] << 3 * g;
            block.groups[k] = u16(word);
        }
    });
}

}  // namespace zeropoint::ZEROPOINT_VARIANT
