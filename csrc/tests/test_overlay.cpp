/// Pictures against the formula in float64, and what is refused.
#include <gtest/gtest.h>

#include <algorithm>

#include "arrays.h"
#include "camfast/overlay.h"

namespace camfast::testing {
namespace {

/// Jumps from entry to entry, so that a wrong one shows.
std::vector<std::uint8_t> make_table() {
    std::vector<std::uint8_t> table(768);
    for (std::size_t i = 0; i < table.size(); ++i) table[i] = static_cast<std::uint8_t>(i * 151 + i / 3 * 16);
    return table;
}

struct Scene {
    Scene(DType dtype, Int channels, Int n, Int h, Int w, Int cells_h, Int cells_w)
        : table(make_table()),
          levels(static_cast<std::size_t>(n * h * w * channels)),
          image(levels.size() * 2),
          heat(DType::float32, Layout::contiguous, 1, n, cells_h, cells_w, -1, 1, 5),
          picture(static_cast<std::size_t>(n * h * w * 3), 77) {
        std::mt19937 generator(3);
        for (std::size_t i = 0; i < levels.size(); ++i) {
            const auto level =
                static_cast<std::uint16_t>(generator() & (dtype == DType::uint8 ? 255 : 65535));
            levels[i] = level;
            if (dtype == DType::uint8)
                image[i] = static_cast<std::uint8_t>(level);
            else
                std::memcpy(&image[2 * i], &level, 2);
        }
        image_view = {image.data(),
                      dtype,
                      channels == 1 ? 3 : 4,
                      {n, h, w, channels},
                      {h * w * channels, w * channels, channels, 1}};
        heat_view = {
            heat.storage.data(), DType::float32, 3, {n, cells_h, cells_w}, {cells_h * cells_w, cells_w, 1}};
        out = {picture.data(), DType::uint8, 4, {n, h, w, 3}, {h * w * 3, w * 3, 3, 1}};
        shading = {table.data(), -0.9, 0.8, 0.25, 0, dtype == DType::uint8 ? 255.0 : 65535.0, {0, 0}, 0};
    }

    Status paint(int threads) { return overlay(image_view, heat_view, shading, out, threads); }

    std::vector<std::uint8_t> table;
    std::vector<double> levels;
    std::vector<std::uint8_t> image;
    Array heat;
    std::vector<std::uint8_t> picture;
    View image_view, heat_view;
    MutableView out;
    Shading shading;
};

double interpolated(const Scene& scene, Int n, Int y, Int x) {
    const auto along = [](Int pixel, Int pixels, Int cells, Int& low, Int& high) {
        const double scale = static_cast<double>(cells) / static_cast<double>(pixels);
        const double source = std::max((static_cast<double>(pixel) + 0.5) * scale - 0.5, 0.0);
        low = std::min(static_cast<Int>(source), cells - 1);
        high = std::min(low + 1, cells - 1);
        return source - static_cast<double>(low);
    };
    Int y0, y1, x0, x1;
    const double fy = along(y, scene.out.sizes[1], scene.heat_view.sizes[1], y0, y1);
    const double fx = along(x, scene.out.sizes[2], scene.heat_view.sizes[2], x0, x1);
    const auto cell = [&](Int i, Int j) { return scene.heat.at(0, n, i, j); };
    return (1 - fy) * ((1 - fx) * cell(y0, x0) + fx * cell(y0, x1)) +
           fy * ((1 - fx) * cell(y1, x0) + fx * cell(y1, x1));
}

using Extent = std::tuple<Int, Int, Int, Int>;
class Overlay : public ::testing::TestWithParam<std::tuple<DType, Int, Extent, double, double>> {};

TEST_P(Overlay, EqualsTheFormula) {
    const auto [dtype, channels, extent, alpha, threshold] = GetParam();
    const auto [h, w, cells_h, cells_w] = extent;
    Scene scene(dtype, channels, 2, h, w, cells_h, cells_w);
    scene.shading.alpha = alpha;
    scene.shading.threshold = threshold;
    ASSERT_TRUE(scene.paint(1).ok());
    constexpr double kSlack = 2e-3;  // of levels up to 255, in float32
    for (Int n = 0; n < 2; ++n)
        for (Int y = 0; y < h; ++y)
            for (Int x = 0; x < w; ++x)
                for (Int c = 0; c < 3; ++c) {
                    const double u = interpolated(scene, n, y, x);
                    const double shade = 255 * std::clamp((u + 0.9) / 1.7, 0.0, 1.0);
                    const Int pixel = (n * h + y) * w + x;
                    const double level =
                        scene.levels[static_cast<std::size_t>(channels == 1 ? pixel : 3 * pixel + c)] /
                        scene.shading.white * 255;
                    const double found = scene.picture[static_cast<std::size_t>(3 * pixel + c)];
                    bool right = false;
                    for (const double nudge : {-kSlack, kSlack}) {
                        const double entry = std::clamp(std::nearbyint(shade + nudge), 0.0, 255.0);
                        const bool hidden = std::clamp(shade + nudge, 0.0, 255.0) < 255 * threshold;
                        const double color =
                            scene.table[static_cast<std::size_t>(3 * entry) + static_cast<std::size_t>(c)];
                        const double exact = hidden ? level : level + (color - level) * alpha;
                        right |= std::abs(exact - found) <= 0.5 + kSlack;
                    }
                    ASSERT_TRUE(right) << n << " " << y << " " << x << " " << c;
                }
    const std::vector<std::uint8_t> one_thread = scene.picture;
    ASSERT_TRUE(scene.paint(3).ok());
    EXPECT_EQ(one_thread, scene.picture);
}

INSTANTIATE_TEST_SUITE_P(Shapes, Overlay,
                         ::testing::Combine(::testing::Values(DType::uint8, DType::uint16),
                                            ::testing::Values<Int>(1, 3),
                                            ::testing::Values(Extent{1, 1, 1, 1}, Extent{3, 17, 3, 17},
                                                              Extent{130, 67, 14, 5},
                                                              Extent{64, 200, 7, 300}),
                                            ::testing::Values(0.25, 1.0), ::testing::Values(0.0, 0.4, 1.0)));

TEST(OverlayThreshold, ShowsWhatIsNotBelowIt) {
    Scene scene(DType::uint8, 1, 1, 1, 20, 1, 20);  // more than a vector, and a rest
    scene.shading = {scene.table.data(), 0, 1, 1, 0, 255, {0, 0}, 0.5};
    float heat[20];
    for (int x = 0; x < 20; ++x) heat[x] = x == 19 ? NAN : static_cast<float>(x % 5) / 4;
    std::memcpy(scene.heat.storage.data(), heat, sizeof heat);
    ASSERT_TRUE(scene.paint(1).ok());
    for (int x = 0; x < 20; ++x) {
        const auto* const pixel = &scene.picture[static_cast<std::size_t>(3 * x)];
        const int entry = static_cast<int>(std::nearbyint(255 * heat[x]));
        for (int c = 0; c < 3; ++c) {
            const int expected = x == 19     ? 255 * (c != 1)
                                 : x % 5 < 2 ? scene.image[static_cast<std::size_t>(x)]
                                             : scene.table[static_cast<std::size_t>(3 * entry + c)];
            EXPECT_EQ(pixel[c], expected) << x << " " << c;
        }
    }
}

TEST(OverlayArguments, AreChecked) {
    const auto refused = [](auto change) {
        Scene scene(DType::uint16, 1, 1, 4, 5, 2, 2);
        change(scene);
        const Status status = scene.paint(1);
        EXPECT_EQ(status.code, StatusCode::invalid_argument);
        EXPECT_STRNE(status.message, "");
        for (const std::uint8_t byte : scene.picture) EXPECT_EQ(byte, 77);
        return std::string(status.argument);
    };
    EXPECT_EQ(refused([](Scene& s) { s.image_view.data = nullptr; }), "image");
    EXPECT_EQ(refused([](Scene& s) { s.image_view.dtype = DType::int32; }), "image");
    EXPECT_EQ(refused([](Scene& s) { s.image_view.sizes[1] = -4; }), "image");
    EXPECT_EQ(refused([](Scene& s) { s.image_view.sizes[2] = 0; }), "image");
    EXPECT_EQ(refused([](Scene& s) { s.image_view.rank = 2; }), "image");
    EXPECT_EQ(refused([](Scene& s) { s.image_view.strides[1] += 1; }), "image");
    EXPECT_EQ(refused([](Scene& s) { s.heat_view.data = nullptr; }), "heat");
    EXPECT_EQ(refused([](Scene& s) { std::swap(s.heat_view.strides[1], s.heat_view.strides[2]); }), "heat");
    EXPECT_EQ(refused([](Scene& s) { s.out.strides[1] += 1; }), "out");
    EXPECT_EQ(refused([](Scene& s) { s.heat_view.dtype = DType::uint8; }), "heat");
    EXPECT_EQ(refused([](Scene& s) { s.heat_view.sizes[0] = 2; }), "heat");
    EXPECT_EQ(refused([](Scene& s) { s.heat_view.sizes[1] = 0; }), "heat");
    EXPECT_EQ(refused([](Scene& s) { s.out.data = nullptr; }), "out");
    EXPECT_EQ(refused([](Scene& s) { s.out.dtype = DType::float32; }), "out");
    EXPECT_EQ(refused([](Scene& s) { s.out.sizes[2] = 4; }), "out");
    EXPECT_EQ(refused([](Scene& s) { s.shading.table = nullptr; }), "table");
    EXPECT_EQ(refused([](Scene& s) { s.shading.alpha = 1.5; }), "alpha");
    EXPECT_EQ(refused([](Scene& s) { s.shading.threshold = -0.1; }), "threshold");
    EXPECT_EQ(refused([](Scene& s) { s.shading.threshold = 1.5; }), "threshold");
    EXPECT_EQ(refused([](Scene& s) { s.shading.threshold = NAN; }), "threshold");
    EXPECT_EQ(refused([](Scene& s) { s.shading.white = s.shading.black; }), "black");
    EXPECT_EQ(refused([](Scene& s) { s.shading.sigma[0] = 1; }), "sigma");
    EXPECT_EQ(refused([](Scene& s) { s.shading.sigma[1] = -1; }), "sigma");
}

}  // namespace
}  // namespace camfast::testing
