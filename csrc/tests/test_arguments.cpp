/// What is wrong with an argument is said, and nothing is touched.
#include <gtest/gtest.h>

#include <functional>
#include <limits>

#include "arrays.h"
#include "camfast/channel_weights.h"
#include "camfast/contiguous.h"
#include "camfast/fused_cam.h"
#include "camfast/gaussian_upsample.h"
#include "camfast/linear_upsample.h"
#include "camfast/product_sum.h"
#include "camfast/weighted_sum.h"

namespace camfast::testing {
namespace {

class Arguments : public ::testing::Test {
protected:
    Status fused(CamMethod method = CamMethod::respond) {
        return fused_cam(method, true, activations, gradients, grid_view, weights_view, ill, upsampling,
                         maps_view, 1);
    }
    void expect(const char* argument, CamMethod method = CamMethod::respond) {
        const Status status = fused(method);
        EXPECT_EQ(status.code, StatusCode::invalid_argument);
        EXPECT_STREQ(status.argument, argument);
        EXPECT_STRNE(status.message, "");
    }

    Array a{DType::float32, Layout::contiguous, 1, 2, 3, 12, 0, 1, 1};
    Array g{DType::float32, Layout::contiguous, 4, 2, 3, 12, 0, 1, 2};
    Result grid{DType::float32, 2, 4, 12}, weights{DType::float32, 2, 4, 3}, maps{DType::float32, 2, 4, 48};
    View activations = a.view3(), gradients = g.view4();
    MutableView grid_view = grid.view(), weights_view = weights.view(), maps_view = maps.view();
    std::uint8_t flags[8] = {};
    std::uint8_t* ill = flags;
    Upsampling upsampling{UpsampleMode::linear, {1, 3, 4}, {1, 6, 8}, {}, Gain::spray};
};

TEST_F(Arguments, GoodOnesPass) {
    EXPECT_TRUE(fused().ok());
}

TEST_F(Arguments, UnknownCodes) {
    expect("method", static_cast<CamMethod>(7));
    expect("method", static_cast<CamMethod>(-1));
    upsampling.mode = static_cast<UpsampleMode>(3);
    expect("upsampling");
    upsampling.mode = UpsampleMode::gaussian;
    upsampling.gain = static_cast<Gain>(3);
    for (auto& axis : upsampling.axes) axis = {1, 0, 1};
    expect("gain");
    activations.dtype = static_cast<DType>(4);
    expect("activations");
    EXPECT_STREQ(product_sum(static_cast<Rectify>(3), a.view3(), gradients, true, grid_view, 1).argument,
                 "rectify");
    EXPECT_STREQ(channel_weights(static_cast<WeightMethod>(4), a.view3(), gradients, weights_view, nullptr, 1)
                     .argument,
                 "method");
}

TEST_F(Arguments, AddressesAndSizes) {
    const auto with = [&](auto change, const char* argument) {
        const View old_a = activations, old_g = gradients;
        const MutableView old_grid = grid_view, old_weights = weights_view, old_maps = maps_view;
        const Upsampling old_upsampling = upsampling;
        change();
        expect(argument);
        activations = old_a, gradients = old_g, grid_view = old_grid, weights_view = old_weights,
        maps_view = old_maps;
        upsampling = old_upsampling;
    };
    with([&] { activations.data = nullptr; }, "activations");
    with([&] { gradients.data = nullptr; }, "gradients");
    with([&] { maps_view.data = nullptr; }, "maps");
    with([&] { activations.sizes[1] = -1; }, "activations");
    with([&] { gradients.sizes[3] = 11; }, "gradients");
    with([&] { gradients.dtype = DType::float64; }, "gradients");
    with([&] { grid_view.sizes[2] = 13; }, "grid");
    with([&] { grid_view.strides[2] = 2; }, "grid");
    with([&] { weights_view.dtype = DType::float64; }, "weights");
    with([&] { upsampling.grid_sizes[1] = 2; }, "grid_sizes");
    with([&] { upsampling.map_sizes[1] = 0; }, "map_sizes");
    with([&] { maps_view.sizes[2] = 47; }, "maps");
    for (auto& axis : upsampling.axes) axis = {1, 0, 1};
    upsampling.mode = UpsampleMode::gaussian;
    with([&] { upsampling.axes[1].sigma = 0; }, "sigma");
    with([&] { upsampling.axes[1].sigma = std::numeric_limits<double>::quiet_NaN(); }, "sigma");
    with([&] { upsampling.axes[2].step = 0; }, "step");
    with([&] { upsampling.axes[2].start = std::numeric_limits<double>::infinity(); }, "start");
}

TEST_F(Arguments, ProductsHaveNoWeights) {
    expect("weights", CamMethod::product);
    weights_view = {};
    expect("ill_conditioned", CamMethod::product);
}

// The product of the other sizes is no 64-bit number: the sanitizer of undefined behaviour notices.
TEST_F(Arguments, EmptyOnesMayBeOfAnySize) {
    constexpr std::int64_t kMany = std::int64_t{1} << 40;
    const View none{nullptr, DType::float32, 3, {0, kMany, 1}, {kMany, 1, 1}};
    const View of_none{nullptr, DType::float32, 3, {0, kMany, kMany}, {0, kMany, 1}};
    const MutableView nowhere{nullptr, DType::float32, 3, {0, kMany, 1}, {kMany, 1, 1}};
    EXPECT_TRUE(weighted_sum(none, of_none, true, nowhere, 1).ok());
}

constexpr std::int64_t kAxis = std::numeric_limits<std::int32_t>::max();

// Weights of so many pixels would take gigabytes, or their number is no 64-bit number.
TEST_F(Arguments, NoMapsTakeNoMemory) {
    const View none = contiguous(static_cast<const float*>(nullptr), 0, 1, 1, 3);
    const MutableView nowhere = contiguous(static_cast<float*>(nullptr), 0, 1, 1, kAxis);
    EXPECT_TRUE(linear_upsample(none, nowhere, 1).ok());
    const GaussianAxis axes[3] = {{1e6, 0, 1}, {1e6, 0, 1}, {1e6, 0, 1}};
    EXPECT_TRUE(gaussian_upsample(none, nowhere, axes, Gain::mass, 1).ok());
    upsampling = {UpsampleMode::linear, {1, 1, 3}, {kAxis, kAxis, kAxis}, {}, Gain::spray};
    activations = contiguous(static_cast<const float*>(nullptr), 0, 3, 3);
    gradients = contiguous(static_cast<const float*>(nullptr), 4, 0, 3, 3);
    grid_view = contiguous(static_cast<float*>(nullptr), 0, 4, 3), weights_view = {}, ill = nullptr;
    expect("map_sizes");
    upsampling.map_sizes[0] = upsampling.map_sizes[1] = 1;
    maps_view = contiguous(static_cast<float*>(nullptr), 0, 4, kAxis);
    EXPECT_TRUE(fused().ok());
}

// Neither activations nor gradients have elements, but what is made of them would have more than memory has.
TEST_F(Arguments, ScratchBeyond64Bits) {
    constexpr std::int64_t kMany = std::int64_t{1} << 31;
    const float* const nothing = nullptr;
    ill = nullptr;
    weights_view = {};
    // no channels: a grid of zeros, wanted only upsampled
    grid_view = {};
    constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
    activations = contiguous(nothing, 2, 0, kMost), gradients = contiguous(nothing, 4, 2, 0, kMost);
    upsampling = {UpsampleMode::linear, {kAxis, kAxis, 4}, {1, 6, 8}, {}, Gain::spray};
    expect("grid_sizes");
    constexpr std::int64_t kCells = kAxis * kAxis;
    activations = contiguous(nothing, 2, 0, kCells), gradients = contiguous(nothing, 4, 2, 0, kCells);
    upsampling.grid_sizes[2] = 1;
    expect("grid");
    // no positions: weights of many channels, wanted by nobody
    upsampling = {};
    activations = contiguous(nothing, kMany, 4, 0), gradients = contiguous(nothing, kMany, kMany, 4, 0);
    grid_view = contiguous(static_cast<float*>(nullptr), kMany, kMany, 0);
    EXPECT_TRUE(fused().ok());
    EXPECT_TRUE(product_sum(Rectify::none, activations, gradients, true, grid_view, 1).ok());
}

TEST_F(Arguments, GaussiansBeyondFloat64) {
    upsampling.mode = UpsampleMode::gaussian;
    for (auto& axis : upsampling.axes) axis = {1, 0, 1};
    ASSERT_TRUE(fused().ok());
    for (const GaussianAxis& axis :
         {GaussianAxis{1e-51, 0, 1}, {1e51, 0, 1}, {1, 1e51, 1}, {1, 0, 1e51}, {1, 0, 1e-51}}) {
        upsampling.axes[1] = axis;
        EXPECT_EQ(fused().code, StatusCode::invalid_argument);
    }
    upsampling.axes[1] = {1e-50, 1e50, 1e50};
    EXPECT_TRUE(fused().ok());
}

TEST_F(Arguments, ChannelsWithoutPositionsWeighNothing) {
    activations = contiguous(static_cast<const float*>(nullptr), 2, 3, 0);
    gradients = contiguous(static_cast<const float*>(nullptr), 4, 2, 3, 0);
    for (int method = 0; method < 4; ++method) {
        Result zeros{DType::float32, 2, 4, 3};
        ASSERT_TRUE(
            channel_weights(static_cast<WeightMethod>(method), activations, gradients, zeros.view(), flags, 1)
                .ok());
        for (Int i = 0; i < 2 * 4 * 3; ++i) EXPECT_EQ(zeros(i / 12, i / 3 % 4, i % 3), 0);
    }
}

TEST_F(Arguments, OtherOps) {
    const void* const weight = weights.storage.data();
    EXPECT_STREQ(
        weighted_sum(activations, contiguous(DType::float32, weight, 2, 4, 2), true, grid_view, 1).argument,
        "weights");
    View apart = contiguous(DType::float32, weight, 2, 4, 3);
    ASSERT_TRUE(weighted_sum(activations, apart, true, grid_view, 1).ok());
    apart.strides[1] = 6;
    EXPECT_STREQ(weighted_sum(activations, apart, true, grid_view, 1).argument, "weights");

    View cells = contiguous(DType::float32, static_cast<const void*>(a.storage.data()), 2, 1, 3, 4);
    void* const map = maps.storage.data();
    EXPECT_STREQ(linear_upsample(cells, contiguous(DType::float32, map, 3, 1, 6, 8), 1).argument, "maps");
    MutableView out = contiguous(DType::float32, map, 2, 1, 6, 8);
    ASSERT_TRUE(linear_upsample(cells, out, 1).ok());
    std::swap(out.strides[2], out.strides[3]);
    EXPECT_STREQ(linear_upsample(cells, out, 1).argument, "maps");
    cells.strides[0] = 0;  // the same grid for both maps
    EXPECT_STREQ(linear_upsample(cells, contiguous(DType::float32, map, 2, 1, 6, 8), 1).argument, "grid");
}

}  // namespace
}  // namespace camfast::testing
