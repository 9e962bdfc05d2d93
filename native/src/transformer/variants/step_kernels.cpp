// Norms, rotations, attention and activations, on vectors of `lanes` floats (see row_vectors.hpp).
//
// Sums over a row run in 16 lanes, element i in lane i % 16, whatever the width of a vector here, and are
// folded in one order. Scores have a lane per position: no sum crosses lanes.
#include "transformer/step_kernels.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>

#include "simd/row_vectors.hpp"
#include "transformer/variants/cached_rows.hpp"

namespace zeropoint::ZEROPOINT_VARIANT {
namespace {

constexpr int parts = 16 / lanes;  // vectors in 16 lanes

inline Floats choose(Ints condition, Floats a, Floats b) { return condition ? a : b; }
inline Floats at_least(Floats x, float bound) { return choose(x < bound, splat(bound), x); }
inline Floats at_most(Floats x, float bound) { return choose(x > bound, splat(bound), x); }

// e^x with a relative error below 2^-23; 0 below −87.3, infinity above 88.7.
// x = n · ln 2 + r, and the polynomial is (e^r − 1 − r) / r² on |r| ≤ ln 2 / 2, fitted for this file.
inline Floats exponential(Floats x) {
    const Floats clamped = at_most(at_least(x, -87.33654f), 88.72283f);
    const Floats magic = splat(12582912.0f);  // 1.5 · 2^23: adding it rounds to an integer
    const Floats n = (clamped * 1.4426950408889634f + magic) - magic;
    Floats r = multiply_add(n, splat(-0.693359375f), clamped);
    r = multiply_add(n, splat(2.12194440e-4f), r);
    Floats p = splat(0x1.6a2434p-10f);
    p = multiply_add(p, r, splat(0x1.1239e2p-7f));
    p = multiply_add(p, r, splat(0x1.5558f2p-5f));
    p = multiply_add(p, r, splat(0x1.555492p-3f));
    p = multiply_add(p, r, splat(0x1.fffffcp-2f));
    const Floats value = multiply_add(p * r, r, r) + 1.0f;
    // 2^n in two factors: n reaches 128.
    const Ints whole = __builtin_convertvector(n, Ints), half = whole >> 1;
    const Floats first = (Floats)((half + 127) << 23), second = (Floats)((whole - half + 127) << 23);
    const Floats result = value * first * second;
    return choose(x < -87.33654f, Floats{}, choose(x > 88.72283f, splat(INFINITY), result));
}

// tanh x: x + x · z · q(z) with z = x² for small |x|, by e^2x else.
inline Floats hyperbolic_tangent(Floats x) {
    const Floats z = x * x;
    Floats q = splat(-0x1.76ac18p-8f);
    q = multiply_add(q, z, splat(0x1.5256d6p-6f));
    q = multiply_add(q, z, splat(-0x1.b84448p-5f));
    q = multiply_add(q, z, splat(0x1.110768p-3f));
    q = multiply_add(q, z, splat(-0x1.555534p-2f));
    const Floats small = multiply_add(q * z, x, x);
    const Floats large = 1.0f - 2.0f / (exponential(at_most(x + x, 40.0f)) + 1.0f);
    return choose((x < 0.625f) & (x > -0.625f), small, large);
}

inline Floats sigmoid(Floats x) { return 1.0f / (1.0f + exponential(-x)); }

inline Floats activate(Activation activation, Floats x) {
    switch (activation) {
        case Activation::silu: return x / (1.0f + exponential(-x));
        case Activation::gelu: {  // x/2 · (1 + tanh(i)) = x · sigmoid(2i)
            const Floats inner = 0.7978845608028654f * multiply_add(0.044715f * x * x, x, x);
            return x * sigmoid(inner + inner);
        }
        case Activation::sigmoid: return sigmoid(x);
        default: {
            const Floats positive = at_least(x, 0.0f);
            return positive * positive;
        }
    }
}

// The first `count` of `lanes` floats; zeros after them.
inline Floats load_some(const float* from, std::size_t count) {
    Floats value{};
    std::memcpy(&value, from, count * sizeof(float));
    return value;
}

template <typename Function>
inline void for_each_vector(std::size_t size, Function&& function) {
    std::size_t i = 0;
    for (; i + lanes <= size; i += lanes) function(i, std::size_t(lanes));
    if (i < size) function(i, size - i);
}

float fold(const Floats (&sum)[parts]) {
    alignas(64) float all[16];
    for (int p = 0; p < parts; ++p) store(all + p * lanes, sum[p]);
    for (int width = 8; width; width /= 2)
        for (int i = 0; i < width; ++i) all[i] += all[i + width];
    return all[0];
}

// Σ x² over a row.
float squares(const float* x, std::size_t size) {
    Floats sum[parts] = {};
    std::size_t i = 0;
    for (; i + 16 <= size; i += 16)
        for (int p = 0; p < parts; ++p) {
            const Floats value = load<Floats>(x + i + p * lanes);
            sum[p] = multiply_add(value, value, sum[p]);
        }
    float tail[16] = {};
    std::copy(x + i, x + size, tail);
    for (int p = 0; p < parts; ++p) {
        const Floats value = load<Floats>(tail + p * lanes);
        sum[p] = multiply_add(value, value, sum[p]);
    }
    return fold(sum);
}

void rms_norm(const float* x, const float* weight, float epsilon, std::size_t size, float* out) {
    const float inverse = 1.0f / std::sqrt(squares(x, size) / float(size) + epsilon);
    for_each_vector(size, [&](std::size_t at, std::size_t count) {
        const Floats value = load_some(x + at, count) * inverse * load_some(weight + at, count);
        std::memcpy(out + at, &value, count * sizeof(float));
    });
}

void rotate(float* head, const float* cosines, const float* sines, std::size_t dimensions, bool interleaved) {
    const std::size_t half = dimensions / 2, step = interleaved ? 2 : 1, apart = interleaved ? 1 : half;
    for (std::size_t i = 0; i < half; ++i) {
        float &a = head[i * step], &b = head[i * step + apart];
        const float first = a * cosines[i] - b * sines[i], second = b * cosines[i] + a * sines[i];
        a = first, b = second;
    }
}

void gate(Activation activation, const float* gates, const float* up, std::size_t size, float* out) {
    if (activation == Activation::clamped_swiglu) {
        for_each_vector(size, [&](std::size_t at, std::size_t count) {
            const Floats x = at_most(load_some(gates + at, count), 7.0f);
            const Floats y = at_most(at_least(load_some(up + at, count), -7.0f), 7.0f);
            const Floats value = x * sigmoid(1.702f * x) * (y + 1.0f);
            std::memcpy(out + at, &value, count * sizeof(float));
        });
        return;
    }
    for_each_vector(size, [&](std::size_t at, std::size_t count) {
        const Floats value = activate(activation, load_some(gates + at, count)) * load_some(up + at, count);
        std::memcpy(out + at, &value, count * sizeof(float));
    });
}

void softcap(float* x, float cap, std::size_t size) {
    for_each_vector(size, [&](std::size_t at, std::size_t count) {
        const Floats value = hyperbolic_tangent(load_some(x + at, count) / cap) * cap;
        std::memcpy(x + at, &value, count * sizeof(float));
    });
}

// ---- attention ----

constexpr int block = lanes == 16 ? 8 : 4;  // rows of queries whose sums stay in registers

constexpr std::int32_t counting[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

struct Tiles {
    std::size_t first, last;  // [first, last), of positions 16 · first on
};

// Scores of `rows` rows with tiles [first, last) into scratch (rows, tiles · 16); −inf where not seen.
template <int rows>
void score(const AttentionSpan& span, const float* const* queries, const std::size_t* positions, Tiles tiles,
           float* scores, std::size_t pitch, float* room) {
    for (std::size_t t = tiles.first; t < tiles.last; ++t, scores += key_tile) {
        const float* keys = decoded_keys(span, t % span.tiles, room);
        Floats sum[rows][parts] = {};
        for (std::size_t d = 0; d < span.head_size; ++d)
            for (int p = 0; p < parts; ++p) {
                const Floats key = load<Floats>(keys + d * key_tile + p * lanes);
                for (int r = 0; r < rows; ++r) sum[r][p] = multiply_add(splat(queries[r][d]), key, sum[r][p]);
            }
        for (int r = 0; r < rows; ++r) {
            // A position is seen if its distance, position − key, is in [0, window).
            const std::ptrdiff_t distance = std::ptrdiff_t(positions[r]) - std::ptrdiff_t(t * key_tile);
            const bool whole = distance >= std::ptrdiff_t(key_tile) - 1 &&
                               (!span.window || distance < std::ptrdiff_t(span.window));
            for (int p = 0; p < parts; ++p) {
                Floats value = sum[r][p] * span.scale;
                if (span.softcap != 0.0f) value = hyperbolic_tangent(value / span.softcap) * span.softcap;
                if (!whole) {
                    const Ints behind = std::int32_t(distance) - load<Ints>(counting + p * lanes);
                    Ints seen = behind >= 0;
                    if (span.window) seen &= behind < std::int32_t(span.window);
                    value = choose(seen, value, splat(-INFINITY));
                }
                store(scores + r * pitch + p * lanes, value);
            }
        }
    }
}

// Scores to e^(score − largest); returns their sum. A sink is one more score; it may be null.
float raise(float* scores, std::size_t count, const float* sink) {
    Floats largest = splat(-INFINITY);
    for (std::size_t i = 0; i < count; i += lanes) {
        const Floats value = load<Floats>(scores + i);
        largest = choose(value > largest, value, largest);
    }
    float top = largest[0];
    for (int i = 1; i < lanes; ++i) top = std::max(top, float(largest[i]));
    if (sink) top = std::max(top, *sink);
    Floats sum[parts] = {};
    for (std::size_t i = 0; i < count; i += 16)
        for (int p = 0; p < parts; ++p) {
            const Floats value = exponential(load<Floats>(scores + i + p * lanes) - top);
            store(scores + i + p * lanes, value);
            sum[p] += value;
        }
    const float total = fold(sum);
    return sink ? total + exponential(splat(*sink - top))[0] : total;
}

// Sums of values weighted by the raised scores: 2 vectors of columns of `rows` rows at a time.
template <int rows>
void mix(const AttentionSpan& span, Tiles tiles, const float* raised, std::size_t pitch, const float* sums,
         float* const* out, float* room) {
    constexpr std::size_t wide = value_columns;
    for (std::size_t column = 0; column < span.value_size; column += wide) {
        Floats sum[rows][2] = {};
        for (std::size_t t = tiles.first; t < tiles.last; ++t) {
            const auto [from, value_pitch] = decoded_values(span, t % span.tiles, column, room);
            const float *values = from, *weights = raised + (t - tiles.first) * key_tile;
            for (std::size_t k = 0; k < key_tile; ++k, values += value_pitch) {
                const Floats first = load<Floats>(values), second = load<Floats>(values + lanes);
                for (int r = 0; r < rows; ++r) {
                    const Floats weight = splat(weights[r * pitch + k]);
                    sum[r][0] = multiply_add(weight, first, sum[r][0]);
                    sum[r][1] = multiply_add(weight, second, sum[r][1]);
                }
            }
        }
        const std::size_t count = std::min(wide, span.value_size - column);
        for (int r = 0; r < rows; ++r) {
            alignas(64) float both[wide];
            store(both, sum[r][0] / sums[r]);
            store(both + lanes, sum[r][1] / sums[r]);
            std::memcpy(out[r] + column, both, count * sizeof(float));
        }
    }
}

template <int rows>
void attend_block(const AttentionSpan& span, const float* const* queries, const std::size_t* positions,
                  const float* sinks, float* const* out, float* scratch) {
    const std::size_t earliest =
        span.window && positions[0] + 1 > span.window ? positions[0] + 1 - span.window : 0;
    const Tiles tiles{earliest / key_tile, positions[rows - 1] / key_tile + 1};
    const std::size_t pitch = (tiles.last - tiles.first) * key_tile;
    float* keys = scratch + rows * pitch;
    score<rows>(span, queries, positions, tiles, scratch, pitch, keys);
    float sums[rows];
    for (int r = 0; r < rows; ++r) sums[r] = raise(scratch + r * pitch, pitch, sinks ? sinks + r : nullptr);
    mix<rows>(span, tiles, scratch, pitch, sums, out, keys + span.head_size * key_tile);
}

void attend(const AttentionSpan& span, const float* const* queries, const std::size_t* positions,
            const float* sinks, float* const* out, std::size_t rows, float* scratch) {
    std::size_t done = 0;
    const auto run = [&]<int count>() {
        for (; done + count <= rows; done += count)
            attend_block<count>(span, queries + done, positions + done, sinks ? sinks + done : nullptr,
                                out + done, scratch);
    };
    run.template operator()<block>();
    run.template operator()<4>();
    run.template operator()<2>();
    run.template operator()<1>();
}

// ---- delta nets ----

void unit_length(float* x, float epsilon, float factor, std::size_t size) {
    const float inverse = factor / std::sqrt(squares(x, size) + epsilon);
    for_each_vector(size, [&](std::size_t at, std::size_t count) {
        const Floats value = load_some(x + at, count) * inverse;
        std::memcpy(x + at, &value, count * sizeof(float));
    });
}

void convolve(const float* const* inputs, const float* weights, std::size_t kernel, std::size_t size,
              float* out) {
    for_each_vector(size, [&](std::size_t at, std::size_t count) {
        Floats sum{};
        for (std::size_t t = 0; t < kernel; ++t)
            sum = multiply_add(load_some(weights + t * size + at, count), load_some(inputs[t] + at, count),
                               sum);
        std::memcpy(out + at, &sum, count * sizeof(float));
    });
}

constexpr int wide = 32 / lanes;  // vectors in 32 columns of a state

// 32 columns stay in the first cache for all positions. Even and odd rows of the state are summed apart, so that
// enough additions are under way.
void delta_columns(const DeltaSpan& span, std::size_t column, std::size_t count) {
    float* state = span.state + column;
    const float *q = span.queries, *k = span.keys, *v = span.values + column;
    float* out = span.out + column;
    for (std::size_t p = 0; p < span.count; ++p) {
        const float decay = span.decays[p * span.gate_stride], rate = span.rates[p * span.gate_stride];
        Floats even[wide] = {}, odd[wide] = {};
        const auto sum = [&](const float* factors, std::size_t i, Floats(&to)[wide]) {
            for (int c = 0; c < wide; ++c)
                to[c] =
                    multiply_add(splat(factors[i]), load<Floats>(state + i * span.pitch + c * lanes), to[c]);
        };
        std::size_t i = 0;
        const std::size_t known = span.corrects ? span.size : 0;
        for (; i + 2 <= known; i += 2) sum(k, i, even), sum(k, i + 1, odd);
        if (i < known) sum(k, i, even);
        alignas(64) float line[32] = {};
        std::memcpy(line, v, count * sizeof(float));
        Floats change[wide], first[wide] = {}, second[wide] = {};
        for (int c = 0; c < wide; ++c)
            change[c] = (load<Floats>(line + c * lanes) - (even[c] + odd[c]) * decay) * rate;
        const auto step = [&](std::size_t at, Floats(&to)[wide]) {
            for (int c = 0; c < wide; ++c) {
                float* place = state + at * span.pitch + c * lanes;
                const Floats next = multiply_add(splat(k[at]), change[c], load<Floats>(place) * decay);
                store(place, next);
                to[c] = multiply_add(splat(q[at]), next, to[c]);
            }
        };
        for (i = 0; i + 2 <= span.size; i += 2) step(i, first), step(i + 1, second);
        if (i < span.size) step(i, first);
        for (int c = 0; c < wide; ++c) store(line + c * lanes, first[c] + second[c]);
        std::memcpy(out, line, count * sizeof(float));
        q += span.stride, k += span.stride, v += span.stride, out += span.out_stride;
    }
}

void delta_rule(const DeltaSpan& span) {
    for (std::size_t column = 0; column < span.columns; column += 32)
        delta_columns(span, column, std::min<std::size_t>(32, span.columns - column));
}

constexpr StepKernels steps = {rms_norm,  rotate,   gate,        softcap,  attend,    block,
                               store_row, hadamard, unit_length, convolve, delta_rule};

}  // namespace

const StepKernels& step_kernels() { return steps; }

}  // namespace zeropoint::ZEROPOINT_VARIANT
