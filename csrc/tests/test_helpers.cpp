/// What a caller of the library has beside the ops: views, names, versions, and the axes of an upsampling.
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "arrays.h"
#include "camfast/camfast.h"
#include "cpu/isa.h"

namespace camfast::testing {
namespace {

TEST(Contiguous, TypesSizesAndStrides) {
    const std::vector<double> values(2 * 3 * 4 * 5);
    const View view = contiguous(values.data(), 2, std::size_t{3}, std::int64_t{4}, 5u);
    EXPECT_EQ(view.data, values.data());
    EXPECT_EQ(view.dtype, DType::float64);
    EXPECT_EQ(view.rank, 4);
    const Int sizes[] = {2, 3, 4, 5}, strides[] = {60, 20, 5, 1};
    for (int axis = 0; axis < 4; ++axis) {
        EXPECT_EQ(view.sizes[axis], sizes[axis]);
        EXPECT_EQ(view.strides[axis], strides[axis]);
    }
    EXPECT_EQ(contiguous(static_cast<const float*>(nullptr), 0).dtype, DType::float32);
    EXPECT_EQ(contiguous(static_cast<const std::uint8_t*>(nullptr), 0).dtype, DType::uint8);
    EXPECT_EQ(contiguous(static_cast<const std::uint16_t*>(nullptr), 0).dtype, DType::uint16);
    EXPECT_EQ(contiguous(static_cast<const std::int32_t*>(nullptr), 0).dtype, DType::int32);
    EXPECT_EQ(contiguous(static_cast<const std::int64_t*>(nullptr), 0).dtype, DType::int64);
    EXPECT_EQ(contiguous(static_cast<const long long*>(nullptr), 0).dtype, DType::int64);
    EXPECT_EQ(contiguous(DType::bfloat16, static_cast<const std::uint16_t*>(nullptr), 0).dtype,
              DType::bfloat16);
}

TEST(Contiguous, OutputsAreInputsOfTheNextCall) {
    std::vector<float> memory(6);
    const MutableView output = contiguous(memory.data(), 2, 3);
    const View input = output;
    EXPECT_EQ(input.data, memory.data());
    EXPECT_EQ(input.rank, 2);
    EXPECT_EQ(input.sizes[1], 3);
    EXPECT_EQ(input.strides[0], 3);
    EXPECT_EQ(contiguous(DType::float16, static_cast<void*>(memory.data()), 12).dtype, DType::float16);
}

TEST(Contiguous, IsKnownWhenCompiled) {
    static constexpr float kValues[6] = {};
    constexpr View view = contiguous(kValues, 2, 3);
    static_assert(view.rank == 2 && view.strides[0] == 3 && view.strides[1] == 1);
}

TEST(Contiguous, SizesBeyond64Bits) {
    // constant expressions have no undefined behaviour: the compiler would refuse a product that overflows
    constexpr std::int64_t kMany = std::int64_t{1} << 40;
    constexpr View view = contiguous(static_cast<const float*>(nullptr), 0, kMany, kMany, kMany);
    static_assert(view.sizes[3] == kMany && view.strides[3] == 1 && view.strides[2] == kMany);
    constexpr View wrong = contiguous(DType::float16, static_cast<const void*>(nullptr), 2, -3, kMany);
    static_assert(wrong.strides[1] == kMany && wrong.strides[0] == -3 * kMany);
    EXPECT_FALSE(
        linear_upsample(view, contiguous(static_cast<float*>(nullptr), 1, kMany, kMany, kMany), 1).ok());
}

TEST(Names, OfStatuses) {
    static_assert(status_name(StatusCode::invalid_argument)[0] == 'i');
    for (const auto& [code, name] : {std::pair{StatusCode::ok, "ok"},
                                     {StatusCode::invalid_argument, "invalid_argument"},
                                     {StatusCode::out_of_memory, "out_of_memory"},
                                     {StatusCode::unsupported, "unsupported"},
                                     {StatusCode::device_error, "device_error"},
                                     {static_cast<StatusCode>(9), "unknown"}})
        EXPECT_STREQ(status_name(code), name);
}

TEST(Runtime, VersionAndInstructionSet) {
    EXPECT_STREQ(version(), CAMFAST_VERSION);
    EXPECT_EQ(std::to_string(CAMFAST_VERSION_MAJOR) + "." + std::to_string(CAMFAST_VERSION_MINOR) + "." +
                  std::to_string(CAMFAST_VERSION_PATCH),
              CAMFAST_VERSION);
    EXPECT_TRUE(instruction_set_status().ok());
    EXPECT_STREQ(instruction_set(), cpu::isa_name(cpu::chosen().isa));
    if (const char* const wanted = std::getenv("CAMFAST_CPU_ISA")) {
        EXPECT_STREQ(instruction_set(), wanted);
    }
}

TEST(TilingAxis, CentresTileTheImage) {
    const GaussianAxis axis = tiling_axis(5, 40, 6.0);
    EXPECT_EQ(axis.sigma, 6.0);
    EXPECT_EQ(axis.step, 8.0);
    EXPECT_EQ(axis.start, 3.5);                                  // the middle of pixels 0 ... 7
    EXPECT_EQ(axis.start + 4 * axis.step, 40 - 1 - axis.start);  // as far from the end as from the start
}

}  // namespace
}  // namespace camfast::testing
