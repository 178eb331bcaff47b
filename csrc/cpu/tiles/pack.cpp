/// Tiles of any strides copied into rows of adjacent positions.
#include "cpu/tiles/simd.h"
#include "cpu/tiles/tiles.h"

namespace camfast::cpu::CAMFAST_ISA {
namespace {

template <class T>
void pack(const void* source, std::int64_t stride_r, std::int64_t stride_p, std::int64_t rows, std::int64_t n,
          void* packed) {
    const auto* from = static_cast<const T*>(source);
    auto* to = static_cast<T*>(packed);
    if (stride_r == 1) {
        for (std::int64_t p = 0; p < n; ++p)
            for (std::int64_t r = 0; r < rows; ++r) to[r * kPackedPositions + p] = from[r + p * stride_p];
    } else {
        for (std::int64_t r = 0; r < rows; ++r)
            for (std::int64_t p = 0; p < n; ++p)
                to[r * kPackedPositions + p] = from[r * stride_r + p * stride_p];
    }
}

}  // namespace

void fill_pack(TileTable& table) noexcept {
    table.kernels[static_cast<int>(DType::float32)].pack = pack<std::uint32_t>;
    table.kernels[static_cast<int>(DType::float64)].pack = pack<std::uint64_t>;
    table.kernels[static_cast<int>(DType::bfloat16)].pack = pack<std::uint16_t>;
    table.kernels[static_cast<int>(DType::float16)].pack = pack<std::uint16_t>;
}

}  // namespace camfast::cpu::CAMFAST_ISA
