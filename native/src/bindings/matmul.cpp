// Bindings of the products (see matmul.hpp).
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <string>
#include <tuple>
#include <vector>

#include "bindings/bindings.hpp"
#include "matmul/matmul.hpp"
#include "matmul/trace.hpp"

namespace nb = nanobind;
using namespace zeropoint;

namespace {

void set_rows(PackedMatrix& matrix, std::size_t first, Array<const std::uint8_t, 1> blocks, int threads) {
    const std::size_t row = matrix.row_bytes();
    if (blocks.size() % row) throw nb::value_error("set_rows: no whole rows of blocks");
    const std::uint8_t* data = blocks.data();
    const std::size_t count = blocks.size() / row;
    nb::gil_scoped_release release;
    matrix.set_rows(first, count, data, threads);
}

void get_rows(const PackedMatrix& matrix, Array<const std::int64_t, 1> rows, Array<float, 2> out,
              int threads) {
    if (out.shape(0) != rows.shape(0) || out.shape(1) != matrix.columns())
        throw nb::value_error("get_rows: the arrays do not fit each other");
    const std::int64_t* data = rows.data();
    const std::size_t count = rows.shape(0);
    float* to = out.data();
    nb::gil_scoped_release release;
    matrix.get_rows(data, count, to, threads);
}

Mode mode_of(const std::string& name) {
    if (name == "exact") return Mode::exact;
    if (name == "fast") return Mode::fast;
    throw nb::value_error("the mode is exact or fast");
}

// Rows from `first` on, as many as each output has columns.
void matmul(const std::vector<const PackedMatrix*>& matrices, Array<const float, 2> x,
            const std::vector<Array<float, 2>>& outs, std::size_t first, const std::string& mode,
            int threads) {
    if (outs.size() != matrices.size()) throw nb::value_error("matmul: one output per matrix");
    std::vector<Product> products;
    for (std::size_t i = 0; i < matrices.size(); ++i) {
        const PackedMatrix& matrix = *matrices[i];
        const std::size_t rows = outs[i].shape(1);
        if (matrix.columns() != x.shape(1) || outs[i].shape(0) != x.shape(0) || first % panel_rows ||
            first > matrix.rows() || rows > matrix.rows() - first || rows == 0)
            throw nb::value_error("matmul: the arrays do not fit each other");
        products.push_back({&matrix, outs[i].data(), rows, first, rows});
    }
    const Mode chosen = mode_of(mode);
    const float* data = x.data();
    const std::size_t count = x.shape(0), columns = x.shape(1);
    nb::gil_scoped_release release;
    static thread_local Activations activations;  // keeps its memory from call to call
    activations.assign(data, count, columns, columns, chosen, threads);
    multiply(products, activations, threads);
}

std::tuple<int, int, bool> shape_of(const PackedMatrix& matrix) {
    const ProductShape shape = product_shape(matrix);
    return {shape.groups, shape.zero_point, shape.has_minimum};
}

auto* checked(const auto& array, std::size_t size) {
    if (array.size() != size) throw nb::value_error("trace: the arrays do not fit each other");
    return array.data();
}

float trace_fast_row(const PackedMatrix& matrix, std::size_t row, Array<const float, 1> x,
                     Array<std::uint8_t, 2> codes, Array<std::int32_t, 2> dots, Array<float, 2> scales,
                     Array<float, 2> minimums, Array<float, 1> totals, Array<std::int8_t, 2> activation_codes,
                     Array<float, 1> activation_scales, Array<std::int32_t, 2> starts,
                     Array<float, 2> activation_sums) {
    const std::size_t units = matrix.units(), groups = units * std::size_t(product_shape(matrix).groups);
    const float* data = checked(x, matrix.columns());
    return trace_fast(
        matrix, row, data,
        {checked(codes, units * 32), checked(dots, groups), checked(scales, groups),
         checked(minimums, groups), checked(totals, units), checked(activation_codes, units * 32),
         checked(activation_scales, units), checked(starts, groups), checked(activation_sums, groups)});
}

float trace_exact_row(const PackedMatrix& matrix, std::size_t row, Array<const float, 1> x,
                      Array<float, 2> weights, Array<float, 2> chains, Array<float, 1> totals) {
    const std::size_t units = matrix.units();
    const float* data = checked(x, matrix.columns());
    return trace_exact(matrix, row, data,
                       {checked(weights, units * 32), checked(chains, units * 32), checked(totals, units)});
}

}  // namespace

void zeropoint::bind_matmul(nb::module_& module) {
    nb::class_<PackedMatrix>(module, "PackedMatrix")
        .def(nb::init<const std::string&, std::size_t, std::size_t>(), nb::arg("format"), nb::arg("rows"),
             nb::arg("columns"))
        .def_prop_ro("format", &PackedMatrix::format)
        .def_prop_ro("rows", &PackedMatrix::rows)
        .def_prop_ro("columns", &PackedMatrix::columns)
        .def_prop_ro("nbytes", &PackedMatrix::bytes)
        .def("set_rows", &set_rows, nb::arg("first"), nb::arg("blocks"), nb::arg("threads"))
        .def("get_rows", &get_rows, nb::arg("rows"), nb::arg("out"), nb::arg("threads"));
    module.def("product_shape", &shape_of, nb::arg("matrix"));
    module.def("trace_fast", &trace_fast_row, nb::arg("matrix"), nb::arg("row"), nb::arg("x"),
               nb::arg("codes").noconvert(), nb::arg("dots").noconvert(), nb::arg("scales").noconvert(),
               nb::arg("minimums").noconvert(), nb::arg("totals").noconvert(),
               nb::arg("activation_codes").noconvert(), nb::arg("activation_scales").noconvert(),
               nb::arg("starts").noconvert(), nb::arg("activation_sums").noconvert());
    module.def("trace_exact", &trace_exact_row, nb::arg("matrix"), nb::arg("row"), nb::arg("x"),
               nb::arg("weights").noconvert(), nb::arg("chains").noconvert(), nb::arg("totals").noconvert());
    module.def("supports_products", &PackedMatrix::supports, nb::arg("format"));
    module.def("matmul", &matmul, nb::arg("matrices"), nb::arg("x"), nb::arg("outs"), nb::arg("first"),
               nb::arg("mode"), nb::arg("threads"));
}
