/// Sums of rows against their definition, and what is refused.
#include <gtest/gtest.h>

#include "arrays.h"
#include "camfast/row_sum.h"

namespace camfast::testing {
namespace {

class RowSum : public ::testing::TestWithParam<std::tuple<DType, Int, Int>> {};

/// A matrix whose rows are three elements longer than they look, and factors of which every third is 0.
struct Rows {
    Rows(DType dtype, Int j, Int i)
        : dtype(dtype),
          result(accumulator(dtype)),
          j(j),
          i(i),
          pitch(i + 3),
          matrix(dtype, Layout::contiguous, 1, 1, j, i + 3, -1, 1, 1),
          factors(result, Layout::contiguous, 1, 1, 1, j, -1, 1, 2),
          out(static_cast<std::size_t>(8 * i), '\x7f') {
        for (Int row = 0; row < j; row += 3) {
            const auto at = static_cast<std::size_t>(row);
            factors.values[at] = encode(result, row % 2 ? -0.0 : 0.0, bits_of(row));
        }
    }

    char* bits_of(Int row) { return &factors.storage[static_cast<std::size_t>(row * element_size(result))]; }

    Status sum(int threads) {
        return row_sum({matrix.storage.data(), dtype, 2, {j, i}, {pitch, 1}},
                       {factors.storage.data(), result, 1, {j}, {1}}, {out.data(), result, 1, {i}, {1}},
                       threads);
    }

    double found(Int column) const {
        double wide;
        float narrow;
        const char* at = &out[static_cast<std::size_t>(column * element_size(result))];
        if (result == DType::float64) {
            std::memcpy(&wide, at, 8);
            return wide;
        }
        std::memcpy(&narrow, at, 4);
        return static_cast<double>(narrow);
    }

    DType dtype, result;
    Int j, i, pitch;
    Array matrix, factors;
    std::vector<char> out;
};

TEST_P(RowSum, IsItsDefinition) {
    const auto [dtype, j, i] = GetParam();
    std::vector<char> first;
    for (const int threads : {1, 2, 7}) {
        Rows rows(dtype, j, i);
        ASSERT_TRUE(rows.sum(threads).ok());
        for (Int column = 0; column < i; ++column) {
            double expected = 0, size = 0;
            for (Int row = 0; row < j; ++row) {
                const double term = rows.factors.values[static_cast<std::size_t>(row)] *
                                    rows.matrix.values[static_cast<std::size_t>(row * rows.pitch + column)];
                expected += term;
                size += std::abs(term);
            }
            // eight products at a time are summed in the type of the results, all else in float64
            const double tolerance = size * (rows.result == DType::float64 ? 1e-14 : 5e-7) + 1e-300;
            ASSERT_NEAR(rows.found(column), expected, tolerance) << column;
        }
        if (threads == 1) first = rows.out;
        ASSERT_EQ(rows.out, first) << threads;
    }
}

INSTANTIATE_TEST_SUITE_P(
    Sizes, RowSum,
    ::testing::Combine(::testing::Values(DType::float32, DType::float64, DType::bfloat16, DType::float16),
                       ::testing::Values(1, 2, 7, 64), ::testing::Values(1, 7, 63, 257, 9001)));

TEST(RowSumOfUnitsThatAreOff, IsNotRead) {
    Rows rows(DType::float32, 7, 40);
    const auto nan = std::numeric_limits<double>::quiet_NaN();
    for (const Int row : {0, 3, 6})
        for (Int column = 0; column < 40; ++column)
            encode(DType::float32, nan,
                   &rows.matrix.storage[static_cast<std::size_t>(4 * (row * rows.pitch + column))]);
    ASSERT_TRUE(rows.sum(1).ok());
    for (Int column = 0; column < 40; ++column) ASSERT_TRUE(std::isfinite(rows.found(column)));
    encode(DType::float32, nan, rows.bits_of(1));
    ASSERT_TRUE(rows.sum(1).ok());
    for (Int column = 0; column < 40; ++column) ASSERT_TRUE(std::isnan(rows.found(column)));
}

TEST(RowSumOfNothing, IsZero) {
    Rows rows(DType::float32, 1, 300);
    ASSERT_TRUE(rows.sum(2).ok());
    for (Int column = 0; column < 300; ++column) ASSERT_EQ(rows.found(column), 0.0);
    rows.j = 0;
    ASSERT_TRUE(rows.sum(2).ok());
    rows.i = 0;
    ASSERT_TRUE(rows.sum(2).ok());
}

TEST(RowSumRefuses, WhatDoesNotFit) {
    float data[12] = {};
    double wide[4] = {};
    const View matrix{data, DType::float32, 2, {3, 4}, {4, 1}}, factors{data, DType::float32, 1, {3}, {1}};
    const MutableView out{data + 8, DType::float32, 1, {4}, {1}};
    ASSERT_STREQ(row_sum({data, DType::int32, 2, {3, 4}, {4, 1}}, factors, out, 1).argument, "matrix");
    ASSERT_STREQ(row_sum({data, DType::float32, 2, {3, 4}, {1, 3}}, factors, out, 1).argument, "matrix");
    ASSERT_STREQ(row_sum({nullptr, DType::float32, 2, {3, 4}, {4, 1}}, factors, out, 1).argument, "matrix");
    ASSERT_STREQ(row_sum(matrix, {data, DType::float32, 1, {4}, {1}}, out, 1).argument, "factors");
    ASSERT_STREQ(row_sum(matrix, {data, DType::float32, 1, {3}, {2}}, out, 1).argument, "factors");
    ASSERT_STREQ(row_sum(matrix, {wide, DType::float64, 1, {3}, {1}}, out, 1).argument, "factors");
    ASSERT_STREQ(row_sum(matrix, factors, {wide, DType::float64, 1, {4}, {1}}, 1).argument, "out");
    ASSERT_STREQ(row_sum(matrix, factors, {data, DType::float32, 1, {3}, {1}}, 1).argument, "out");
}

}  // namespace
}  // namespace camfast::testing
