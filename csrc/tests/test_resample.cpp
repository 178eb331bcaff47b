/// Pictures at other sizes against their definition, and what is refused.
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "camfast/resample.h"

namespace camfast::testing {
namespace {

using Int = std::int64_t;

/// A band of `taps` weights a pixel, spread over `size`.
struct Band {
    Band(Int size, Int pixels, Int taps) {
        for (Int i = 0; i < pixels; ++i) {
            const Int most = size - taps;
            first.push_back(static_cast<std::int32_t>(pixels > 1 ? i * most / (pixels - 1) : most / 2));
            for (Int k = 0; k < taps; ++k)
                weights.push_back(0.25f + static_cast<float>((3 * i + 7 * k) % 11));
        }
        band = {first.data(), weights.data(), pixels, taps};
    }
    std::vector<std::int32_t> first;
    std::vector<float> weights;
    ResampleBand band;
};

template <class T>
constexpr DType kDType = std::is_same_v<T, float>           ? DType::float32
                         : std::is_same_v<T, double>        ? DType::float64
                         : std::is_same_v<T, std::uint16_t> ? DType::uint16
                                                            : DType::uint8;

template <class T>
class Resample : public ::testing::Test {};
using Types = ::testing::Types<std::uint8_t, std::uint16_t, float, double>;
TYPED_TEST_SUITE(Resample, Types);

TYPED_TEST(Resample, IsItsDefinition) {
    struct Sizes {
        Int h, w, channels, out_h, out_w, y_taps, x_taps;
    };
    for (const Sizes& s :
         {Sizes{37, 53, 1, 9, 17, 5, 7}, Sizes{1, 1, 1, 3, 2, 1, 1}, Sizes{40, 33, 3, 50, 8, 2, 9},
          Sizes{64, 1, 4, 16, 5, 4, 1}, Sizes{5, 700, 1, 1, 150, 5, 11}}) {
        std::vector<TypeParam> image;
        for (Int i = 0; i < s.h * s.w * s.channels; ++i)
            image.push_back(static_cast<TypeParam>((i * 7919 + 13) % 251));
        const Band y(s.h, s.out_h, s.y_taps), x(s.w, s.out_w, s.x_taps);
        const View picture{
            image.data(), kDType<TypeParam>, 3, {s.h, s.w, s.channels}, {s.w * s.channels, s.channels, 1}};
        std::vector<float> first;
        for (const int threads : {1, 2, 7}) {
            std::vector<float> out(static_cast<std::size_t>(s.channels * s.out_h * s.out_w), NAN);
            const MutableView planes{out.data(),
                                     DType::float32,
                                     3,
                                     {s.channels, s.out_h, s.out_w},
                                     {s.out_h * s.out_w, s.out_w, 1}};
            ASSERT_TRUE(resample(picture, y.band, x.band, planes, threads).ok());
            if (first.empty()) first = out;
            EXPECT_EQ(first, out);
        }
        for (Int c = 0; c < s.channels; ++c)
            for (Int i = 0; i < s.out_h; ++i)
                for (Int j = 0; j < s.out_w; ++j) {
                    double expected = 0;
                    for (Int k = 0; k < s.y_taps; ++k)
                        for (Int l = 0; l < s.x_taps; ++l)
                            expected +=
                                static_cast<double>(y.weights[static_cast<std::size_t>(i * s.y_taps + k)]) *
                                static_cast<double>(x.weights[static_cast<std::size_t>(j * s.x_taps + l)]) *
                                static_cast<double>(image[static_cast<std::size_t>(
                                    ((y.first[static_cast<std::size_t>(i)] + k) * s.w +
                                     x.first[static_cast<std::size_t>(j)] + l) *
                                        s.channels +
                                    c)]);
                    const double found =
                        static_cast<double>(first[static_cast<std::size_t>((c * s.out_h + i) * s.out_w + j)]);
                    EXPECT_NEAR(found, expected, 1e-5 * (1 + std::abs(expected)));  // sums in float32
                }
    }
}

TEST(ResampleRefuses, WhatDoesNotFit) {
    const std::vector<float> image(20 * 30);
    std::vector<float> out(5 * 6);
    const View picture{image.data(), DType::float32, 2, {20, 30}, {30, 1}};
    const MutableView planes{out.data(), DType::float32, 3, {1, 5, 6}, {30, 6, 1}};
    const Band y(20, 5, 4), x(30, 6, 5);
    ASSERT_TRUE(resample(picture, y.band, x.band, planes, 1).ok());
    const auto refused = [&](const View& from, const ResampleBand& rows, const ResampleBand& columns,
                             const MutableView& to) {
        return resample(from, rows, columns, to, 1).code == StatusCode::invalid_argument;
    };
    ResampleBand outside = y.band;
    const std::vector<std::int32_t> beyond(5, 17);
    outside.first = beyond.data();
    EXPECT_TRUE(refused(picture, outside, x.band, planes));
    ResampleBand other = y.band;
    other.pixels = 4;
    EXPECT_TRUE(refused(picture, other, x.band, planes));
    EXPECT_TRUE(refused(picture, {}, x.band, planes));
    View wrong = picture;
    wrong.dtype = DType::int32;
    EXPECT_TRUE(refused(wrong, y.band, x.band, planes));
    MutableView narrow = planes;
    narrow.dtype = DType::float64;
    EXPECT_TRUE(refused(picture, y.band, x.band, narrow));
    View rows_apart = picture;
    rows_apart.strides[0] = 31;
    EXPECT_TRUE(refused(rows_apart, y.band, x.band, planes));
    MutableView turned = planes;
    std::swap(turned.strides[1], turned.strides[2]);
    EXPECT_TRUE(refused(picture, y.band, x.band, turned));
}

}  // namespace
}  // namespace camfast::testing
