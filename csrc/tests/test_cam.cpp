/// Weights and maps against loops in float64.
#include <gtest/gtest.h>

#include "arrays.h"
#include "camfast/channel_weights.h"
#include "camfast/fused_cam.h"
#include "camfast/product_sum.h"
#include "camfast/weighted_sum.h"

namespace camfast::testing {
namespace {

double relu(double x) {
    return x < 0 ? 0 : x;
}

double weight(WeightMethod method, const Array& a, const Array& g, Int n, Int t, Int k) {
    const Int positions = a.sizes[3];
    double s = 0, g_sum = 0, product = 0, alpha = 0;
    for (Int p = 0; p < positions; ++p) s += a.at(0, n, k, p);
    for (Int p = 0; p < positions; ++p) {
        const double gradient = g.at(t, n, k, p);
        g_sum += gradient;
        product += gradient * a.at(0, n, k, p);
        alpha += (gradient > 0 ? 1 / (2 + s * gradient) : 0) * gradient;
    }
    switch (method) {
        case WeightMethod::gradcam: return g_sum / static_cast<double>(positions);
        case WeightMethod::gradcampp: return alpha;
        case WeightMethod::xgradcam: return product / (s + 1e-7);
        case WeightMethod::respond: return product / (s + static_cast<double>(positions) * 1e-10);
    }
    return 0;
}

/// Weights (N, T, C) of the weight methods; empty for the products.
std::vector<double> weights_of(CamMethod method, const Array& a, const Array& g) {
    std::vector<double> weights;
    if (method > CamMethod::respond) return weights;
    for (Int n = 0; n < a.sizes[1]; ++n)
        for (Int t = 0; t < g.sizes[0]; ++t)
            for (Int k = 0; k < a.sizes[2]; ++k)
                weights.push_back(weight(static_cast<WeightMethod>(method), a, g, n, t, k));
    return weights;
}

/// One element of the map from `weights` as weights_of gives them.
double cell(CamMethod method, const std::vector<double>& weights, const Array& a, const Array& g, Int n,
            Int t, Int p) {
    double sum = 0;
    for (Int k = 0; k < a.sizes[2]; ++k) {
        const double activation = a.at(0, n, k, p), gradient = g.at(t, n, k, p);
        switch (method) {
            case CamMethod::product: sum += gradient * activation; break;
            case CamMethod::product_rectified_gradients: sum += relu(gradient) * activation; break;
            case CamMethod::rectified_product: sum += relu(gradient * activation); break;
            default:
                sum += weights[static_cast<std::size_t>((n * g.sizes[0] + t) * a.sizes[2] + k)] * activation;
        }
    }
    return sum;
}

struct Sizes {
    Int t, n, c, p;
};

class Cam : public ::testing::TestWithParam<std::tuple<DType, Layout, Layout, Sizes>> {};

TEST_P(Cam, EqualsLoopsForAllMethodsAndThreads) {
    const auto [dtype, a_layout, g_layout, sizes] = GetParam();
    const auto [t, n, c, p] = sizes;
    const Array a(dtype, a_layout, 1, n, c, p, 0, 3, 1);
    const Array g(dtype, g_layout, t, n, c, p, -1, 2, 2);
    for (int code = 0; code <= 6; ++code) {
        const auto method = static_cast<CamMethod>(code);
        SCOPED_TRACE(code);
        const bool weighted = method <= CamMethod::respond;
        const std::vector<double> w = weights_of(method, a, g);
        std::vector<char> one_thread;
        for (const int threads : {1, 2, 7}) {
            Result grid(dtype, n, t, p), weights(dtype, n, t, c);
            std::vector<std::uint8_t> ill(static_cast<std::size_t>(n * t) + 1, 7);
            const Status status = fused_cam(method, false, a.view3(), g.view4(), grid.view(),
                                            weighted ? weights.view() : MutableView{},
                                            weighted ? ill.data() : nullptr, {}, {}, threads);
            ASSERT_TRUE(status.ok()) << status.argument << ": " << status.message;
            if (threads == 1) {
                one_thread = grid.storage;
                EXPECT_LE(
                    grid.error([&](Int in, Int it, Int ip) { return cell(method, w, a, g, in, it, ip); }),
                    tolerance(dtype));
                if (weighted) {
                    const auto expected = [&](Int in, Int it, Int k) {
                        return w[static_cast<std::size_t>((in * g.sizes[0] + it) * g.sizes[2] + k)];
                    };
                    EXPECT_LE(weights.error(expected), tolerance(dtype));
                    EXPECT_EQ(std::vector<std::uint8_t>(static_cast<std::size_t>(n * t), 0),
                              std::vector<std::uint8_t>(ill.begin(), ill.end() - 1));
                    EXPECT_EQ(ill.back(), 7);
                }
            }
            EXPECT_EQ(0, std::memcmp(one_thread.data(), grid.storage.data(), one_thread.size()));
        }
    }
}

TEST_P(Cam, SeparateOpsEqualTheFusedOne) {
    const auto [dtype, a_layout, g_layout, sizes] = GetParam();
    const auto [t, n, c, p] = sizes;
    const Array a(dtype, a_layout, 1, n, c, p, 0, 3, 1);
    const Array g(dtype, g_layout, t, n, c, p, -1, 2, 2);
    for (int code = 0; code <= 2; ++code)
        for (const bool rectified : {false, true}) {
            SCOPED_TRACE(code);
            Result product(dtype, n, t, p);
            ASSERT_TRUE(
                product_sum(static_cast<Rectify>(code), a.view3(), g.view4(), rectified, product.view(), 2)
                    .ok());
            EXPECT_LE(product.error([&](Int in, Int it, Int ip) {
                const double value = cell(static_cast<CamMethod>(code + 4), {}, a, g, in, it, ip);
                return rectified ? relu(value) : value;
            }),
                      tolerance(dtype));
        }

    Result weights(dtype, n, t, c), grid(dtype, n, t, p);
    weights.row = c;                         // weighted_sum takes them contiguous
    for (int code = 0; code <= 3; ++code) {  // respond is the last, whose weights are summed below
        SCOPED_TRACE(code);
        const std::vector<double> w = weights_of(static_cast<CamMethod>(code), a, g);
        ASSERT_TRUE(
            channel_weights(static_cast<WeightMethod>(code), a.view3(), g.view4(), weights.view(), nullptr, 2)
                .ok());
        EXPECT_LE(weights.error([&](Int in, Int it, Int k) {
            return w[static_cast<std::size_t>((in * g.sizes[0] + it) * g.sizes[2] + k)];
        }),
                  tolerance(dtype));
    }
    const View w{weights.storage.data(), weights.dtype, 3, {n, t, c}, {t * c, c, 1}};
    ASSERT_TRUE(weighted_sum(a.view3(), w, true, grid.view(), 2).ok());
    const auto expected = [&](Int in, Int it, Int ip) {
        double sum = 0;
        for (Int k = 0; k < weights.last; ++k) sum += weights(in, it, k) * a.at(0, in, k, ip);
        return relu(sum);
    };
    EXPECT_LE(grid.error(expected), tolerance(dtype));
}

constexpr DType kDTypes[] = {DType::float32, DType::float64, DType::bfloat16, DType::float16};

INSTANTIATE_TEST_SUITE_P(
    Layouts, Cam,
    ::testing::Combine(::testing::ValuesIn(kDTypes),
                       ::testing::Values(Layout::contiguous, Layout::channels_last, Layout::sliced),
                       ::testing::Values(Layout::contiguous, Layout::channels_last, Layout::expanded),
                       ::testing::Values(Sizes{1, 1, 1, 1}, Sizes{3, 2, 63, 7}, Sizes{2, 3, 17, 257})));

// Several segments of a sum, and several blocks of channels.
INSTANTIATE_TEST_SUITE_P(Large, Cam,
                         ::testing::Combine(::testing::Values(DType::float32, DType::bfloat16),
                                            ::testing::Values(Layout::contiguous, Layout::channels_last),
                                            ::testing::Values(Layout::contiguous),
                                            ::testing::Values(Sizes{1, 1, 37, 50021})));

INSTANTIATE_TEST_SUITE_P(
    Empty, Cam,
    ::testing::Combine(::testing::ValuesIn(kDTypes), ::testing::Values(Layout::contiguous),
                       ::testing::Values(Layout::contiguous),
                       ::testing::Values(Sizes{1, 0, 3, 5}, Sizes{2, 1, 0, 5}, Sizes{0, 2, 3, 5})));

TEST(CamSpecialValues, NaNAndInfinityStayInTheirSample) {
    const double nan = std::numeric_limits<double>::quiet_NaN(),
                 infinity = std::numeric_limits<double>::infinity();
    for (const double special : {nan, infinity, -infinity})
        for (int code = 0; code <= 4; ++code) {
            SCOPED_TRACE(code);
            Array a(DType::float64, Layout::contiguous, 1, 3, 5, 40, 0.5, 1, 1);
            Array g(DType::float64, Layout::contiguous, 1, 3, 5, 40, -1, 1, 2);
            std::memcpy(&g.storage[8 * static_cast<std::size_t>(g.strides[1] + 2 * g.strides[2] + 33)],
                        &special, 8);
            Result grid(DType::float64, 3, 1, 40);
            ASSERT_TRUE(fused_cam(static_cast<CamMethod>(code), true, a.view3(), g.view4(), grid.view(), {},
                                  nullptr, {}, {}, 2)
                            .ok());
            bool met = false;
            for (Int p = 0; p < 40; ++p) {
                EXPECT_TRUE(std::isfinite(grid(0, 0, p)) && std::isfinite(grid(2, 0, p)));
                met |= !std::isfinite(grid(1, 0, p)) || grid(1, 0, p) == 0;
            }
            EXPECT_TRUE(met);
        }
}

TEST(CamConditioning, FlagsNamesTheSampleAndTarget) {
    // Sample 1 has a channel whose activations cancel; target 1 of sample 2 has a gradient past the pole.
    Array a(DType::float64, Layout::contiguous, 1, 3, 1, 2, 1, 2, 1);
    Array g(DType::float64, Layout::contiguous, 2, 3, 1, 2, -1, -0.5, 2);
    const double cancelling[2] = {1, -1}, negative[2] = {-3, -1}, pole = 1;
    std::memcpy(&a.storage[8 * static_cast<std::size_t>(a.strides[1])], cancelling, 16);
    std::memcpy(&a.storage[16 * static_cast<std::size_t>(a.strides[1])], negative, 16);
    std::memcpy(&g.storage[8 * static_cast<std::size_t>(g.strides[0] + 2 * g.strides[1])], &pole, 8);
    const std::vector<std::uint8_t> expected[] = {
        {0, 0, 0, 0, 0, 0}, {0, 0, 1, 1, 0, 1}, {0, 0, 1, 1, 0, 0}, {0, 0, 1, 1, 0, 0}};
    for (int code = 0; code <= 3; ++code) {
        SCOPED_TRACE(code);
        Result weights(DType::float64, 3, 2, 1);
        std::vector<std::uint8_t> ill(6, 7);
        ASSERT_TRUE(channel_weights(static_cast<WeightMethod>(code), a.view3(), g.view4(), weights.view(),
                                    ill.data(), 2)
                        .ok());
        EXPECT_EQ(ill, expected[code]);
    }
}

}  // namespace
}  // namespace camfast::testing
