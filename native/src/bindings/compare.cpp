// Bindings of the reduction of logits.
#include <nanobind/stl/pair.h>

#include <cstring>
#include <vector>

#include "bindings/bindings.hpp"
#include "reductions/compare.hpp"
#include "runtime/pool.hpp"

namespace nb = nanobind;

namespace zeropoint {
namespace {

// Positions whose logits come in parts of the vocabulary.
class Comparing {
public:
    explicit Comparing(Array<const std::int32_t, 1> targets)
        : targets_(targets.data(), targets.data() + targets.shape(0)), states_(targets.shape(0)) {}

    // Adds logits (n, count) of the tokens from `first` on. Returns (−1, −1), or the position and token of
    // the first logit that is not finite.
    std::pair<std::int64_t, std::int64_t> add(Array<const float, 2> reference, Array<const float, 2> quant,
                                              std::size_t first, int threads) {
        const std::size_t n = states_.size(), count = reference.shape(1);
        if (reference.shape(0) != n || quant.shape(0) != n || quant.shape(1) != count ||
            first % compare_block)
            throw nb::value_error("compare: the arrays do not fit each other");
        const auto run = ZEROPOINT_PICK(compare_add);
        const float *a = reference.data(), *b = quant.data();
        {
            nb::gil_scoped_release release;
            parallel_for(n, threads, [&](std::size_t i) {
                run(a + i * count, b + i * count, first, count, targets_[i], states_[i]);
            });
        }
        for (std::size_t i = 0; i < n; ++i)
            if (states_[i].not_finite) return {std::int64_t(i), states_[i].not_finite - 1};
        return {-1, -1};
    }

    // Fills scores (n, 3): kl, nll of reference, nll of quant; ids (n, 2, top) and logp (n, 2, top).
    void finish(Array<double, 2> scores, Array<std::int32_t, 3> ids, Array<float, 3> logp) const {
        const std::size_t n = states_.size();
        if (scores.shape(0) != n || scores.shape(1) != 3 || ids.shape(0) != n || logp.shape(0) != n ||
            ids.shape(1) != 2 || logp.shape(1) != 2 || ids.shape(2) != compare_top ||
            logp.shape(2) != compare_top)
            throw nb::value_error("compare: the arrays do not fit each other");
        const auto run = ZEROPOINT_PICK(compare_finish);
        for (std::size_t i = 0; i < n; ++i) {
            const Compared found = run(states_[i]);
            double* score = scores.data() + i * 3;
            score[0] = found.kl, score[1] = found.nll_reference, score[2] = found.nll_quant;
            std::memcpy(ids.data() + i * 2 * compare_top, found.ids, sizeof found.ids);
            std::memcpy(logp.data() + i * 2 * compare_top, found.logp, sizeof found.logp);
        }
    }

private:
    std::vector<std::int32_t> targets_;
    std::vector<Comparison> states_;
};

}  // namespace

void bind_compare(nb::module_& module) {
    module.attr("compare_top") = compare_top;
    module.attr("compare_block") = compare_block;
    nb::class_<Comparing>(module, "Comparing")
        .def(nb::init<Array<const std::int32_t, 1>>(), nb::arg("targets"))
        .def("add", &Comparing::add, nb::arg("reference"), nb::arg("quant"), nb::arg("first"),
             nb::arg("threads"))
        .def("finish", &Comparing::finish, nb::arg("scores"), nb::arg("ids"), nb::arg("logp"));
}

}  // namespace zeropoint
