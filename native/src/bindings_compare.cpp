// Bindings of the reduction of logits.
#include <nanobind/stl/pair.h>

#include <vector>

#include "zeropoint/bindings.hpp"
#include "zeropoint/compare.hpp"
#include "zeropoint/pool.hpp"

namespace nb = nanobind;

namespace zeropoint {
namespace {

// Fills scores (n, 3): kl, nll of reference, nll of quant; ids (n, 2, top) and logp (n, 2, top).
// Returns (−1, −1), or position and token of the first logit that is not finite.
std::pair<std::int64_t, std::int64_t> compare(Array<const float, 2> reference, Array<const float, 2> quant,
                                              Array<const std::int32_t, 1> targets,
                                              Array<double, 2> scores, Array<std::int32_t, 3> ids,
                                              Array<float, 3> logp, int threads) {
    const std::size_t n = reference.shape(0), vocab = reference.shape(1);
    if (quant.shape(0) != n || quant.shape(1) != vocab || targets.shape(0) != n || scores.shape(0) != n ||
        scores.shape(1) != 3 || ids.shape(0) != n || ids.shape(1) != 2 || ids.shape(2) != compare_top ||
        logp.shape(0) != n || logp.shape(1) != 2 || logp.shape(2) != compare_top || vocab == 0)
        throw nb::value_error("compare: the arrays do not fit each other");
    for (std::size_t i = 0; i < n; ++i)
        if (targets.data()[i] < 0 || std::size_t(targets.data()[i]) >= vocab)
            throw nb::value_error("compare: a target is not in the vocabulary");
    const auto run = ZEROPOINT_PICK(compare_logits);
    const float *a = reference.data(), *b = quant.data();
    const std::int32_t* target = targets.data();
    double* score = scores.data();
    std::int32_t* id = ids.data();
    float* lp = logp.data();
    std::vector<std::int64_t> bad(n, -1);
    {
        nb::gil_scoped_release release;
        parallel_for(n, threads, [&](std::size_t i) {
            Comparison c{};
            run(a + i * vocab, b + i * vocab, vocab, target[i], c);
            bad[i] = c.not_finite;
            score[i * 3] = c.kl;
            score[i * 3 + 1] = c.nll_reference;
            score[i * 3 + 2] = c.nll_quant;
            for (std::size_t k = 0; k < compare_top; ++k) {
                id[(i * 2) * compare_top + k] = c.top_reference[k];
                id[(i * 2 + 1) * compare_top + k] = c.top_quant[k];
                lp[(i * 2) * compare_top + k] = c.logp_reference[k];
                lp[(i * 2 + 1) * compare_top + k] = c.logp_quant[k];
            }
        });
    }
    for (std::size_t i = 0; i < n; ++i)
        if (bad[i] >= 0) return {std::int64_t(i), bad[i]};
    return {-1, -1};
}

}  // namespace

void bind_compare(nb::module_& module) {
    module.attr("compare_top") = compare_top;
    module.def("compare", &compare, nb::arg("reference"), nb::arg("quant"), nb::arg("targets"),
               nb::arg("scores"), nb::arg("ids"), nb::arg("logp"), nb::arg("threads"));
}

}  // namespace zeropoint
