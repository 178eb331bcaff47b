/// Sums of windows against their definition, bit by bit, and what is refused.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "arrays.h"
#include "camfast/window_sum.h"

namespace camfast::testing {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

/// Windows of (2, 3, width) cells that start anywhere in a grid of (5, 8, width + 6).
struct Scene {
    Scene(DType dtype, Int n, Int t, Int width, unsigned seed = 1)
        : n(n),
          t(t),
          size{2, 3, width},
          grid{5, 8, width + 6},
          maps(dtype, Layout::contiguous, 1, n, t, 6 * width, -2, 2, seed),
          total(DType::float64, Layout::contiguous, 1, 1, t, 40 * (width + 6), -2, 2, seed + 1),
          taper(DType::float64, Layout::contiguous, 1, 1, 1, 6 * width, 0, 1, seed + 2) {
        std::mt19937 generator(seed + 3);
        for (Int i = 0; i < n; ++i)
            for (int axis = 0; axis < 3; ++axis)
                origins.push_back(
                    std::uniform_int_distribution<std::int64_t>(0, grid[axis] - size[axis])(generator));
    }

    Int cells() const { return grid[0] * grid[1] * grid[2]; }
    Int window() const { return 6 * size[2]; }

    View total_view() const {
        return {total.storage.data(),
                DType::float64,
                4,
                {t, grid[0], grid[1], grid[2]},
                {cells(), grid[1] * grid[2], grid[2], 1}};
    }
    View maps_view() const {
        return {maps.storage.data(), maps.dtype, 3, {n, t, window()}, {t * window(), window(), 1}};
    }
    View origins_view() const { return {origins.data(), DType::int64, 2, {n, 3}, {3, 1}}; }
    View taper_view() const {
        return {taper.storage.data(),
                DType::float64,
                3,
                {size[0], size[1], size[2]},
                {size[1] * size[2], size[2], 1}};
    }
    MutableView out(void* data) const {
        const View like = total_view();
        MutableView view{data, DType::float64, 4, {}, {}};
        std::copy_n(like.sizes, 4, view.sizes);
        std::copy_n(like.strides, 4, view.strides);
        return view;
    }

    /// The definition, window by window.
    std::vector<double> expected(Blend blend) const {
        std::vector<double> result = total.values;
        for (Int in = 0; in < n; ++in)
            for (Int it = 0; it < t; ++it)
                for (Int z = 0; z < size[0]; ++z)
                    for (Int y = 0; y < size[1]; ++y)
                        for (Int x = 0; x < size[2]; ++x) {
                            const Int at = (z * size[1] + y) * size[2] + x;
                            const std::int64_t* const origin = &origins[static_cast<std::size_t>(3 * in)];
                            double& cell = result[static_cast<std::size_t>(
                                it * cells() + ((origin[0] + z) * grid[1] + origin[1] + y) * grid[2] +
                                origin[2] + x)];
                            const double map = maps.at(0, in, it, at);
                            // no compiler may make one rounding of these two
                            const volatile double product = taper.values[static_cast<std::size_t>(at)] * map;
                            if (blend == Blend::mean)
                                cell += product;
                            else if (map > cell || (std::isnan(map) && !std::isnan(cell)))
                                cell = map;
                        }
        return result;
    }

    Int n, t;
    Int size[3], grid[3];
    Array maps, total, taper;
    std::vector<std::int64_t> origins;
};

std::vector<double> doubles(const std::vector<char>& storage, Int count) {
    std::vector<double> values(static_cast<std::size_t>(count));
    if (count > 0) std::memcpy(values.data(), storage.data(), values.size() * sizeof(double));
    return values;
}

bool same_bits(const std::vector<double>& a, const std::vector<double>& b) {
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(double)) == 0;
}

class WindowSum : public ::testing::TestWithParam<std::tuple<DType, Int, Blend>> {};

TEST_P(WindowSum, EqualsTheDefinition) {
    const auto [dtype, width, blend] = GetParam();
    for (const Int n : {0, 1, 9})
        for (const int threads : {1, 3}) {
            Scene scene(dtype, n, 3, width);
            const std::vector<double> expected = scene.expected(blend);
            std::vector<double> beside(scene.total.values.size(), kNaN);
            ASSERT_TRUE(window_sum(scene.total_view(), scene.maps_view(), scene.origins_view(),
                                   scene.taper_view(), blend, scene.out(beside.data()), threads)
                            .ok());
            EXPECT_TRUE(same_bits(beside, expected));
            ASSERT_TRUE(window_sum(scene.total_view(), scene.maps_view(), scene.origins_view(),
                                   scene.taper_view(), blend, scene.out(scene.total.storage.data()), threads)
                            .ok());
            EXPECT_TRUE(same_bits(doubles(scene.total.storage, 3 * scene.cells()), expected));
        }
}

INSTANTIATE_TEST_SUITE_P(Sizes, WindowSum,
                         ::testing::Combine(::testing::Values(DType::float32, DType::float64, DType::bfloat16,
                                                              DType::float16),
                                            ::testing::Values<Int>(1, 7, 8, 10, 17, 40, 700),
                                            ::testing::Values(Blend::mean, Blend::max)));

TEST(WindowSumNaN, WinsAndStays) {
    Scene scene(DType::float64, 1, 1, 10);
    std::vector<double> map(60, 3.0), total(static_cast<std::size_t>(scene.cells()), 0.0);
    map[0] = map[9] = map[59] = kNaN;
    const Int first = (scene.origins[0] * 8 + scene.origins[1]) * 16 + scene.origins[2];
    total[static_cast<std::size_t>(first + 1)] = kNaN;
    View maps = scene.maps_view(), totals = scene.total_view();
    maps.data = map.data();
    totals.data = total.data();
    ASSERT_TRUE(window_sum(totals, maps, scene.origins_view(), scene.taper_view(), Blend::max,
                           scene.out(total.data()), 1)
                    .ok());
    EXPECT_TRUE(std::isnan(total[static_cast<std::size_t>(first)]));
    EXPECT_TRUE(std::isnan(total[static_cast<std::size_t>(first + 1)]));
    EXPECT_EQ(total[static_cast<std::size_t>(first + 2)], 3.0);
    EXPECT_TRUE(std::isnan(total[static_cast<std::size_t>(first + 9)]));
    EXPECT_EQ(std::count_if(total.begin(), total.end(), [](double x) { return std::isnan(x); }), 4);
}

TEST(WindowSumOrigins, OfOneAxisAndOf32BitsInAnyOrder) {
    const std::int32_t origins[] = {2, -1, 0, -1};  // a stride of 2
    const float maps[] = {1, 2, 3, 4};
    const double taper[] = {1, 0.5};
    double total[] = {10, 20, 30, 40};
    ASSERT_TRUE(window_sum({total, DType::float64, 4, {1, 1, 1, 4}, {4, 4, 4, 1}},
                           {maps, DType::float32, 3, {2, 1, 2}, {2, 2, 1}},
                           {origins, DType::int32, 2, {2, 1}, {2, 1}},
                           {taper, DType::float64, 3, {1, 1, 2}, {2, 2, 1}}, Blend::mean,
                           {total, DType::float64, 4, {1, 1, 1, 4}, {4, 4, 4, 1}}, 1)
                    .ok());
    const double expected[] = {13, 22, 31, 41};
    for (int i = 0; i < 4; ++i) EXPECT_EQ(total[i], expected[i]);
}

TEST(WindowSumOrigins, OutsideAreRefusedBeforeAnythingIsWritten) {
    for (int axis = 0; axis < 3; ++axis)
        for (const std::int64_t origin :
             {std::int64_t{-1}, std::int64_t{7}, std::numeric_limits<std::int64_t>::max(),
              std::numeric_limits<std::int64_t>::min()}) {
            Scene scene(DType::float32, 4, 1, 10);
            scene.origins[static_cast<std::size_t>(9 + axis)] = origin;
            const Status status =
                window_sum(scene.total_view(), scene.maps_view(), scene.origins_view(), scene.taper_view(),
                           Blend::mean, scene.out(scene.total.storage.data()), 2);
            ASSERT_EQ(status.code, StatusCode::invalid_argument);
            EXPECT_STREQ(status.argument, "origins");
            EXPECT_NE(std::string(status.message)
                          .find("window 3 starts at cell " + std::to_string(origin) + " of axis " +
                                std::to_string(axis)),
                      std::string::npos)
                << status.message;
            EXPECT_TRUE(same_bits(doubles(scene.total.storage, scene.cells()), scene.total.values));
        }
}

TEST(WindowSumArguments, AreChecked) {
    const Scene scene(DType::float32, 2, 3, 7);
    std::vector<double> room(scene.total.values.size());
    const View total = scene.total_view(), maps = scene.maps_view(), origins = scene.origins_view(),
               taper = scene.taper_view();
    const MutableView out = scene.out(room.data());
    const auto changed = [](auto view, auto change) {
        change(view);
        return view;
    };
    const auto null = [](auto& view) { view.data = nullptr; };
    const auto single = [](auto& view) { view.dtype = DType::float32; };
    const auto strided = [](auto& view) { view.strides[view.rank - 1] = 2; };
    const auto larger = [](auto& view) { view.sizes[view.rank - 1] += 99; };
    const auto integers = [](auto& view) { view.dtype = DType::int32; };
    const auto argument = [&](const View& v, const View& m, const View& o, const View& w, int blend,
                              const MutableView& vo) {
        const Status status = window_sum(v, m, o, w, static_cast<Blend>(blend), vo, 1);
        EXPECT_EQ(status.code, StatusCode::invalid_argument);
        return std::string(status.argument);
    };
    EXPECT_EQ(argument(changed(total, null), maps, origins, taper, 0, out), "total");
    EXPECT_EQ(argument(changed(total, single), maps, origins, taper, 0, out), "total");
    EXPECT_EQ(argument(changed(total, strided), maps, origins, taper, 0, out), "total");
    EXPECT_EQ(argument(total, changed(maps, integers), origins, taper, 0, out), "maps");
    EXPECT_EQ(argument(total, changed(maps, strided), origins, taper, 0, out), "maps");
    EXPECT_EQ(argument(total, changed(maps, larger), origins, taper, 0, out), "maps");
    EXPECT_EQ(argument(total, maps, changed(origins, single), taper, 0, out), "origins");
    EXPECT_EQ(argument(total, maps, changed(origins, larger), taper, 0, out), "origins");
    EXPECT_EQ(argument(total, maps, changed(origins, null), taper, 0, out), "origins");
    EXPECT_EQ(argument(total, maps, origins, changed(taper, single), 0, out), "taper");
    EXPECT_EQ(argument(total, maps, origins, changed(taper, larger), 0, out), "taper");
    EXPECT_EQ(argument(total, maps, origins, taper, 2, out), "blend");
    EXPECT_EQ(argument(total, maps, origins, taper, 0, changed(out, null)), "out");
    EXPECT_EQ(argument(total, maps, origins, taper, 0, changed(out, larger)), "out");
}

}  // namespace
}  // namespace camfast::testing
