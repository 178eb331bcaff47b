/// Tiles of any strides copied into rows of adjacent positions.
#include "cpu/tiles/simd.h"
#include "cpu/tiles/tiles.h"

namespace camfast::cpu::CAMFAST_ISA {
namespace {

template <class T>
void pack(const void* source, std::int64_t stride_k, std::int64_t stride_p, std::int64_t channels,
          std::int64_t positions, void* packed) {
    const auto* from = static_cast<const T*>(source);
    auto* to = static_cast<T*>(packed);
    for (std::int64_t k = 0; k < channels; ++k, from += stride_k, to += kPackedPositions) {
        if (stride_p == 0) {
            for (std::int64_t p = 0; p < positions; ++p) to[p] = *from;
        } else if (stride_p == 1) {
            for (std::int64_t p = 0; p < positions; ++p) to[p] = from[p];
        } else {
            for (std::int64_t p = 0; p < positions; ++p) to[p] = from[p * stride_p];
        }
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
