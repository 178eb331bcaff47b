/// Upsampling against dense sums in float64.
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "arrays.h"
#include "camfast/contiguous.h"
#include "camfast/fused_cam.h"
#include "camfast/gaussian_upsample.h"
#include "camfast/linear_upsample.h"

namespace camfast::testing {
namespace {

struct Shape {
    Int in[3], out[3];
};

/// Weight of cell j in pixel i of one axis.
using Matrix = std::vector<std::vector<double>>;

Matrix linear(Int in, Int out) {
    Matrix weights(static_cast<std::size_t>(out), std::vector<double>(static_cast<std::size_t>(in)));
    for (Int i = 0; i < out; ++i) {
        const double scale = static_cast<double>(in) / static_cast<double>(out);
        const double source = std::max((static_cast<double>(i) + 0.5) * scale - 0.5, 0.0);
        const double low = std::floor(source), fraction = source - low;
        auto& row = weights[static_cast<std::size_t>(i)];
        row[static_cast<std::size_t>(std::min<Int>(static_cast<Int>(low), in - 1))] += 1 - fraction;
        row[static_cast<std::size_t>(std::min<Int>(static_cast<Int>(low) + 1, in - 1))] += fraction;
    }
    return weights;
}

Matrix gaussian(Int in, Int out, const GaussianAxis& axis, Gain gain) {
    Matrix weights(static_cast<std::size_t>(out), std::vector<double>(static_cast<std::size_t>(in)));
    std::vector<double> mass(static_cast<std::size_t>(in));
    for (std::size_t i = 0; i < weights.size(); ++i) {
        double sum = 0;
        for (std::size_t j = 0; j < mass.size(); ++j) {
            const double distance = static_cast<double>(i) - axis.start - static_cast<double>(j) * axis.step;
            weights[i][j] =
                axis.sigma > 0 ? std::exp(-distance * distance / (2 * axis.sigma * axis.sigma)) : i == j;
            sum += weights[i][j];
            mass[j] += weights[i][j];
        }
        if (gain == Gain::average)
            for (double& w : weights[i]) w /= sum;
    }
    if (gain == Gain::mass)
        for (auto& row : weights)
            for (std::size_t j = 0; j < row.size(); ++j) row[j] /= mass[j];
    return weights;
}

std::vector<double> dense(const Array& grid, const Shape& shape, const Matrix (&weights)[3]) {
    std::vector<double> values = grid.values;
    Int before = grid.sizes[1], after = shape.in[0] * shape.in[1] * shape.in[2];
    for (int axis = 0; axis < 3; ++axis) {
        const Int in = shape.in[axis], out = shape.out[axis];
        after /= in;
        std::vector<double> next(static_cast<std::size_t>(before * out * after));
        for (Int b = 0; b < before; ++b)
            for (Int i = 0; i < out; ++i)
                for (Int j = 0; j < in; ++j)
                    for (Int c = 0; c < after; ++c)
                        next[static_cast<std::size_t>((b * out + i) * after + c)] +=
                            weights[axis][static_cast<std::size_t>(i)][static_cast<std::size_t>(j)] *
                            values[static_cast<std::size_t>((b * in + j) * after + c)];
        values.swap(next);
        before *= out;
    }
    return values;
}

Array make_grid(DType dtype, const Shape& shape, Int maps) {
    return Array(dtype, Layout::contiguous, 1, maps, 1, shape.in[0] * shape.in[1] * shape.in[2], -1, 1, 3);
}

View grid_view(const Array& grid, const Shape& shape) {
    return contiguous(grid.dtype, static_cast<const void*>(grid.storage.data()), grid.sizes[1], shape.in[0],
                      shape.in[1], shape.in[2]);
}

/// Runs `upsample(maps, threads)` and compares with the dense sums.
template <class Upsample>
void expect_equal(const Array& grid, const Shape& shape, const Matrix (&weights)[3], double limit,
                  Upsample upsample) {
    const std::vector<double> expected = dense(grid, shape, weights);
    const Int maps = grid.sizes[1], pixels = shape.out[0] * shape.out[1] * shape.out[2];
    std::vector<char> one_thread;
    for (const int threads : {1, 2, 7}) {
        Result out(grid.dtype, maps, 1, pixels);
        out.row = pixels;
        const Status status = upsample(contiguous(out.dtype, static_cast<void*>(out.storage.data()), maps,
                                                  shape.out[0], shape.out[1], shape.out[2]),
                                       threads);
        ASSERT_TRUE(status.ok()) << status.argument << ": " << status.message;
        if (threads == 1) {
            one_thread = out.storage;
            EXPECT_LE(out.error([&](Int m, Int, Int i) {
                return expected[static_cast<std::size_t>(m * pixels + i)];
            }),
                      limit);
        }
        EXPECT_EQ(0, std::memcmp(one_thread.data(), out.storage.data(), one_thread.size()));
    }
}

class Upsample : public ::testing::TestWithParam<std::tuple<DType, Int, Shape>> {};

TEST_P(Upsample, Linear) {
    const DType dtype = std::get<0>(GetParam());
    const Int maps = std::get<1>(GetParam());
    const Shape shape = std::get<2>(GetParam());
    const Array grid = make_grid(dtype, shape, maps);
    const Matrix weights[3] = {linear(shape.in[0], shape.out[0]), linear(shape.in[1], shape.out[1]),
                               linear(shape.in[2], shape.out[2])};
    expect_equal(grid, shape, weights, tolerance(dtype), [&](const MutableView& maps_view, int threads) {
        return linear_upsample(grid_view(grid, shape), maps_view, threads);
    });
}

TEST_P(Upsample, Gaussian) {
    const DType dtype = std::get<0>(GetParam());
    const Int maps = std::get<1>(GetParam());
    const Shape shape = std::get<2>(GetParam());
    const Array grid = make_grid(dtype, shape, maps);
    for (const Gain gain : {Gain::spray, Gain::average, Gain::mass}) {
        GaussianAxis axes[3];
        Matrix weights[3];
        for (int i = 0; i < 3; ++i) {
            const double step = static_cast<double>(shape.out[i]) / static_cast<double>(shape.in[i]);
            const bool untouched = shape.in[i] == 1 && shape.out[i] == 1;
            axes[i] = {untouched ? 0 : (1.3 + 0.2 * i) * step,
                       0.5 * step - 0.5 + (gain == Gain::average ? 1 : 0), step};
            weights[i] = gaussian(shape.in[i], shape.out[i], axes[i], gain);
        }
        // float64 too: cells beyond 5.5 sigma are left out.
        expect_equal(grid, shape, weights, 5e-7, [&](const MutableView& maps_view, int threads) {
            return gaussian_upsample(grid_view(grid, shape), maps_view, axes, gain, threads);
        });
    }
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, Upsample,
    ::testing::Combine(::testing::Values(DType::float32, DType::float64, DType::bfloat16, DType::float16),
                       ::testing::Values<Int>(0, 1, 33),
                       ::testing::Values(Shape{{1, 1, 1}, {1, 1, 1}}, Shape{{1, 1, 1}, {1, 1, 13}},
                                         Shape{{1, 1, 100}, {1, 1, 9001}}, Shape{{1, 5, 6}, {1, 31, 17}},
                                         Shape{{1, 30, 7}, {1, 16, 5}}, Shape{{5, 6, 7}, {9, 30, 21}},
                                         Shape{{3, 1, 4}, {3, 2, 50}}, Shape{{70, 2, 3}, {7, 8, 9}})));

TEST(GaussianFar, AverageOfAPixelBeyondReachIsTheNearestCell) {
    const Array grid = make_grid(DType::float32, {{1, 1, 4}, {1, 1, 90}}, 1);
    const GaussianAxis axes[3] = {{}, {}, {0.5, 2, 1}};
    Result out(DType::float32, 1, 1, 90);
    out.row = 90;
    const MutableView maps = contiguous(DType::float32, static_cast<void*>(out.storage.data()), 1, 1, 1, 90);
    ASSERT_TRUE(gaussian_upsample(grid_view(grid, {{1, 1, 4}, {}}), maps, axes, Gain::average, 1).ok());
    EXPECT_FLOAT_EQ(static_cast<float>(out(0, 0, 89)), static_cast<float>(grid.values[3]));
}

TEST(GaussianFar, MassOfACellOutsideTheImageIsKept) {
    const Array grid = make_grid(DType::float32, {{1, 1, 4}, {1, 1, 9}}, 1);
    const GaussianAxis axes[3] = {{}, {}, {0.5, -40, 15}};
    Result out(DType::float32, 1, 1, 9);
    out.row = 9;
    const MutableView maps = contiguous(DType::float32, static_cast<void*>(out.storage.data()), 1, 1, 1, 9);
    ASSERT_TRUE(gaussian_upsample(grid_view(grid, {{1, 1, 4}, {}}), maps, axes, Gain::mass, 1).ok());
    double sum = 0, cells = 0;
    for (Int i = 0; i < 9; ++i) sum += out(0, 0, i);
    for (const double value : grid.values) cells += value;
    EXPECT_NEAR(sum, cells, 1e-6);
}

TEST(Upsampling, TakesAnyNumberOfThreads) {
    const std::vector<float> grid = [] {
        std::vector<float> cells(64 * 64);
        for (std::size_t i = 0; i < cells.size(); ++i) cells[i] = static_cast<float>(i % 17);
        return cells;
    }();
    std::vector<float> expected(512 * 512);
    const View cells = contiguous(grid.data(), 1, 1, 64, 64);
    ASSERT_TRUE(linear_upsample(cells, contiguous(expected.data(), 1, 1, 512, 512), 1).ok());
    for (const int threads : {0, -1, std::numeric_limits<int>::min(), std::numeric_limits<int>::max()}) {
        std::vector<float> maps(expected.size(), -1.0f);
        ASSERT_TRUE(linear_upsample(cells, contiguous(maps.data(), 1, 1, 512, 512), threads).ok());
        EXPECT_EQ(maps, expected) << threads;
    }
}

TEST(FusedUpsampling, EqualsUpsamplingTheGrid) {
    const Array a(DType::float32, Layout::contiguous, 1, 3, 8, 5 * 6 * 7, 0, 3, 1);
    const Array g(DType::float32, Layout::contiguous, 2, 3, 8, 5 * 6 * 7, -1, 1, 2);
    const Upsampling linear_up{UpsampleMode::linear, {5, 6, 7}, {11, 12, 30}, {}, Gain::spray};
    Upsampling gaussian_up{UpsampleMode::gaussian, {5, 6, 7}, {11, 12, 30}, {}, Gain::average};
    for (auto& axis : gaussian_up.axes) axis = {3, 1, 2};
    for (const Upsampling& upsampling : {linear_up, gaussian_up}) {
        Result grid(DType::float32, 3, 2, 210), maps(DType::float32, 3, 2, 3960),
            only_maps(DType::float32, 3, 2, 3960);
        ASSERT_TRUE(fused_cam(CamMethod::respond, true, a.view3(), g.view4(), grid.view(), {}, nullptr,
                              upsampling, maps.view(), 2)
                        .ok());
        ASSERT_TRUE(fused_cam(CamMethod::respond, true, a.view3(), g.view4(), {}, {}, nullptr, upsampling,
                              only_maps.view(), 2)
                        .ok());
        for (Int n = 0; n < 3; ++n)
            for (Int t = 0; t < 2; ++t) {
                const void* const cells = &grid.storage[static_cast<std::size_t>(4 * (2 * n + t) * grid.row)];
                const View one = contiguous(DType::float32, cells, 1, 5, 6, 7);
                Result expected(DType::float32, 1, 1, 3960);
                expected.row = 3960;
                const MutableView out =
                    contiguous(DType::float32, static_cast<void*>(expected.storage.data()), 1, 11, 12, 30);
                const Status status = upsampling.mode == UpsampleMode::linear
                                          ? linear_upsample(one, out, 1)
                                          : gaussian_upsample(one, out, upsampling.axes, upsampling.gain, 1);
                ASSERT_TRUE(status.ok());
                for (Int i = 0; i < 3960; ++i) {
                    ASSERT_EQ(maps(n, t, i), expected(0, 0, i));
                    ASSERT_EQ(only_maps(n, t, i), expected(0, 0, i));
                }
            }
    }
}

}  // namespace
}  // namespace camfast::testing
