#include "camfast/row_sum.h"

#include <algorithm>

#include "cpu/buffer.h"
#include "cpu/isa.h"
#include "cpu/parallel.h"
#include "cpu/passes.h"

namespace camfast::cpu {
namespace {

/// Columns of a task at most: their sums in float64 stay in the second-level cache, and fetching a row ahead
/// pays from some pages on.
constexpr std::int64_t kTaskColumns = 8192;
static_assert(kTaskColumns % kSumsStep == 0);

/// The rows whose factors are not 0, and these factors side by side.
struct ActiveRows {
    const std::int64_t* rows;
    const char* factors;
    std::int64_t count;
};

template <class R>
std::int64_t find_active(const void* factors, std::int64_t n, std::int64_t* rows, void* found) noexcept {
    std::int64_t count = 0;
    for (std::int64_t j = 0; j < n; ++j)
        if (const R factor = static_cast<const R*>(factors)[j]; factor != R{}) {  // NaN is not 0
            rows[count] = j;
            static_cast<R*>(found)[count++] = factor;
        }
    return count;
}

/// Sums columns begin ... end - 1, some rows at a time, while those of the next rows are fetched.
void sum_columns(const View& matrix, const ActiveRows& active, std::int64_t begin, std::int64_t end,
                 double* sums) noexcept {
    const auto add = chosen().table.kernels[static_cast<int>(matrix.dtype)].add_rows;
    const std::int64_t element = element_size(matrix.dtype);
    const std::int64_t factor = element_size(accumulator(matrix.dtype));
    const auto place = [&](std::int64_t r) {
        return static_cast<const char*>(matrix.data) + (active.rows[r] * matrix.strides[0] + begin) * element;
    };
    std::fill_n(sums, ceil_div(end - begin, kSumsStep) * kSumsStep, 0.0);
    for (std::int64_t r = 0; r < active.count; r += kGroupedRows) {
        const auto count = static_cast<int>(std::min<std::int64_t>(kGroupedRows, active.count - r));
        const void* rows[kGroupedRows];
        const void* next[kGroupedRows];
        for (int i = 0; i < count; ++i) {
            rows[i] = place(r + i);
            next[i] = place(std::min(r + i + kGroupedRows, active.count - 1));
        }
        add(rows, next, active.factors + r * factor, count, end - begin, sums);
    }
}

}  // namespace
}  // namespace camfast::cpu

namespace camfast {

Status row_sum(const View& matrix, const View& factors, const MutableView& out, int threads) noexcept {
    using namespace cpu;
    if (const Status status = chosen().status; !status.ok()) return status;
    if (const Status status = check_input("matrix", matrix, 2); !status.ok()) return status;
    const std::int64_t rows = matrix.sizes[0], columns = matrix.sizes[1];
    if (matrix.strides[1] != 1 && columns > 1) return invalid("matrix", "has a last stride other than 1");
    const DType result = accumulator(matrix.dtype);
    const struct {
        const char* name;
        View view;
        std::int64_t size;
    } vectors[] = {{"factors", factors, rows}, {"out", out, columns}};
    for (const auto& vector : vectors) {
        if (const Status status = check_shape(vector.name, vector.view, 1); !status.ok()) return status;
        if (vector.view.dtype != result)
            return invalid(vector.name, "has another dtype than the sums of matrix");
        if (vector.view.sizes[0] != vector.size)
            return invalid(vector.name, "has a size that does not fit matrix");
        if (vector.view.strides[0] != 1 && vector.size > 1)
            return invalid(vector.name, "has a stride other than 1");
    }
    if (columns == 0) return {};

    const Buffer indices(static_cast<std::size_t>(rows + 1) * sizeof(std::int64_t));
    const Buffer values(static_cast<std::size_t>(rows + 1) * sizeof(double));
    if (!indices || !values) return out_of_memory();
    const std::int64_t count =
        result == DType::float64
            ? find_active<double>(factors.data, rows, indices.as<std::int64_t>(), values.as<double>())
            : find_active<float>(factors.data, rows, indices.as<std::int64_t>(), values.as<float>());
    const ActiveRows active{indices.as<std::int64_t>(), values.as<char>(), count};

    threads = useful_threads(count * columns, threads);
    // as many tasks for each thread
    const std::int64_t tasks = ceil_div(ceil_div(columns, kTaskColumns), threads) * threads;
    const std::int64_t width = ceil_div(ceil_div(columns, tasks), kSumsStep) * kSumsStep;
    const auto write = chosen().table.kernels[static_cast<int>(matrix.dtype)].write;
    auto* target = static_cast<char*>(out.data);
    parallel_for(ceil_div(columns, width), threads, [&](std::int64_t task) {
        alignas(64) double sums[kTaskColumns];
        const std::int64_t begin = task * width, end = std::min(begin + width, columns);
        sum_columns(matrix, active, begin, end, sums);
        write(sums, end - begin, false, false, target + begin * element_size(result));
    });
    return {};
}

}  // namespace camfast
