/// The running maximum against its definition, and what it refuses.
#include <gtest/gtest.h>

#include "arrays.h"
#include "camfast/running_max.h"

namespace camfast::testing {
namespace {

class RunningMax : public ::testing::TestWithParam<std::tuple<DType, Int>> {};

struct Planes {
    Planes(DType dtype, Int n, Int p)
        : candidate(dtype, Layout::contiguous, 1, 1, n, p, -1, 1, 1),
          values(accumulator(dtype), Layout::contiguous, 1, 1, n, p, -1, 1, 2),
          index(static_cast<std::size_t>(n * p)),
          n(n),
          p(p) {
        for (std::size_t i = 0; i < index.size(); ++i) index[i] = static_cast<std::int32_t>(i) * 7919;
    }

    Status keep(int threads) {
        return running_max({values.storage.data(), values.dtype, 2, {n, p}, {p, 1}},
                           {index.data(), DType::int32, 2, {n, p}, {p, 1}},
                           {candidate.storage.data(), candidate.dtype, 2, {n, p}, {p, 1}},
                           {units, DType::int32, 1, {n}, {1}},
                           {values.storage.data(), values.dtype, 2, {n, p}, {p, 1}},
                           {index.data(), DType::int32, 2, {n, p}, {p, 1}}, threads);
    }

    double value(Int i) const {
        double wide;
        float narrow;
        if (values.dtype == DType::float64) {
            std::memcpy(&wide, &values.storage[static_cast<std::size_t>(8 * i)], 8);
            return wide;
        }
        std::memcpy(&narrow, &values.storage[static_cast<std::size_t>(4 * i)], 4);
        return static_cast<double>(narrow);
    }

    Array candidate, values;
    std::vector<std::int32_t> index;
    std::int32_t units[3] = {-5, 6, 1 << 30};
    Int n, p;
};

TEST_P(RunningMax, InPlace) {
    const auto [dtype, p] = GetParam();
    for (const int threads : {1, 3}) {
        Planes planes(dtype, 3, p);
        const std::vector<double> before = planes.values.values;
        const std::vector<std::int32_t> units_before = planes.index;
        ASSERT_TRUE(planes.keep(threads).ok());
        for (Int i = 0; i < 3 * p; ++i) {
            const auto at = static_cast<std::size_t>(i);
            const bool takes = planes.candidate.values[at] > before[at];
            ASSERT_EQ(planes.value(i), takes ? planes.candidate.values[at] : before[at]);
            ASSERT_EQ(planes.index[at], takes ? planes.units[i / p] : units_before[at]);
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Sizes, RunningMax,
                         ::testing::Combine(::testing::Values(DType::float32, DType::float64, DType::bfloat16,
                                                              DType::float16),
                                            ::testing::Values<Int>(0, 1, 7, 63, 64, 257, 40000)));

TEST(RunningMaxArguments, AreChecked) {
    Planes planes(DType::float32, 3, 4);
    const View values{planes.values.storage.data(), DType::float32, 2, {3, 4}, {4, 1}};
    const View index{planes.index.data(), DType::int32, 2, {3, 4}, {4, 1}};
    const View units{planes.units, DType::int32, 1, {3}, {1}};
    const MutableView values_out{planes.values.storage.data(), DType::float32, 2, {3, 4}, {4, 1}};
    const MutableView index_out{planes.index.data(), DType::int32, 2, {3, 4}, {4, 1}};
    const auto changed = [](auto view, auto change) {
        change(view);
        return view;
    };
    const auto null = [](auto& view) { view.data = nullptr; };
    const auto negative = [](auto& view) { view.sizes[1] = -4; };
    const auto half = [](auto& view) { view.dtype = DType::float16; };
    const auto strided = [](auto& view) { view.strides[1] = 2; };
    const auto argument = [&](const View& v, const View& i, const View& c, const View& u,
                              const MutableView& vo, const MutableView& io) {
        const Status status = running_max(v, i, c, u, vo, io, 1);
        EXPECT_EQ(status.code, StatusCode::invalid_argument);
        return std::string(status.argument);
    };
    const View& candidate = values;
    EXPECT_EQ(argument(values, index, index, units, values_out, index_out), "candidate");
    EXPECT_EQ(argument(values, index, changed(candidate, negative), units, values_out, index_out),
              "candidate");
    EXPECT_EQ(argument(values, index, changed(candidate, strided), units, values_out, index_out),
              "candidate");
    EXPECT_EQ(argument(changed(values, null), index, candidate, units, values_out, index_out), "values");
    EXPECT_EQ(argument(changed(values, half), index, candidate, units, values_out, index_out), "values");
    EXPECT_EQ(argument(values, values, candidate, units, values_out, index_out), "index");
    EXPECT_EQ(argument(values, index, candidate, changed(units, null), values_out, index_out), "units");
    EXPECT_EQ(argument(values, index, candidate, changed(units, half), values_out, index_out), "units");
    EXPECT_EQ(argument(values, index, candidate, units, changed(values_out, null), index_out), "values_out");
    EXPECT_EQ(argument(values, index, candidate, units, values_out, changed(index_out, strided)),
              "index_out");
}

}  // namespace
}  // namespace camfast::testing
