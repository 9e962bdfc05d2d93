// Short convolutions between two gates: src/zeropoint/models/mixers/short_convolution.py is the twin in numpy.
#include "transformer/layer_pass.hpp"

namespace zeropoint {

void LayerPass::short_convolution() {
    const ShortConvolutionConfig& part = layer_.short_convolution;
    const float* x = normed(layer_.attn_norm);
    float* gates = rows_of(buffers_.joined, rows_, 3 * width_);
    multiply({{&part.in, "shortconv.in_proj", gates}}, x, rows_, width_, buffers_.activations);
    float* products = rows_of(buffers_.queries, rows_, width_);
    for_rows(rows_, pass_.threads, [&](std::size_t first, std::size_t last) {
        for (std::size_t r = first; r < last; ++r) {
            const float *before = gates + 3 * r * width_, *inputs = before + 2 * width_;
            for (std::size_t i = 0; i < width_; ++i) products[r * width_ + i] = before[i] * inputs[i];
        }
    });
    mixed_ = rows_of(buffers_.mixed, rows_, width_);
    convolve(products, part.weights, part.kernel, width_, mixed_);
    for_rows(rows_, pass_.threads, [&](std::size_t first, std::size_t last) {
        for (std::size_t r = first; r < last; ++r) {
            const float* after = gates + (3 * r + 1) * width_;
            for (std::size_t i = 0; i < width_; ++i) mixed_[r * width_ + i] *= after[i];
        }
    });
    float* out = rows_of(buffers_.out, rows_, width_);
    multiply({{&part.out, "shortconv.out_proj", out}}, mixed_, rows_, width_, buffers_.activations);
    finish_part(out, layer_.post_attention_norm);
}

}  // namespace zeropoint
