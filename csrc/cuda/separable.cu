#include <algorithm>
#include <array>
#include <atomic>
#include <utility>

#include "arguments.h"
#include "cuda/dispatch.h"
#include "cuda/launch.h"
#include "cuda/upsampler.cuh"

namespace camfast::cuda {
namespace {

/// A plane of cells is read once for so many pixels: as many sums as leave registers for three blocks.
constexpr int kGroup = 8;

template <class Real, bool kPacked>
struct WriteMaps {
    Real* data;
    std::int64_t stride_n, stride_t;
    std::int64_t rows, row;  // of a plane, and elements of one
    int packets;             // of a tile

    __device__ void operator()(const Part& part, int y, int lane, int z, int count,
                               const Sums<Real, kGroup>& sums) const {
        constexpr int kPer = kPacket<Real>;
        const std::int64_t x =
            static_cast<std::int64_t>(part.tile_x) * packets * kPer + (kPacked ? lane * kPer : lane);
        Real* target = data + part.sample * stride_n + part.target * stride_t + (z * rows + y) * row + x;
#pragma unroll
        for (int j = 0; j < kGroup; ++j) {
            if (j >= count) break;
            if constexpr (kPacked) {
                if (x < row) stream_packet(target, packet_of(sums[j]));
            } else {
#pragma unroll
                for (int i = 0; i < kPer; ++i)
                    if (x + i * packets < row) target[i * packets] = sums[j][i];
            }
            target += rows * row;
        }
    }
};

/// Blocks of a multiprocessor: what the registers allow without spilling.
template <class Real, Walk kWalk, bool kPacked>
constexpr int kBlocks = sizeof(Real) == 4 && kWalk == Walk::kept && kPacked ? 3 : 2;

template <class Real, Walk kWalk, bool kPacked>
__global__ void __launch_bounds__(kMaxUpsampleThreads, kBlocks<Real, kWalk, kPacked>)
    upsample_bands(const Separable<Real> problem, const WriteMaps<Real, kPacked> write) {
    Upsampler<Real, kWalk, kPacked, kGroup>(problem).run(write);
}

bool aligned(const void* data, std::int64_t stride_n, std::int64_t stride_t, std::int64_t row,
             int element) noexcept {
    const std::int64_t packet = 16 / element;
    return reinterpret_cast<std::uintptr_t>(data) % 16 == 0 && row % packet == 0 && stride_n % packet == 0 &&
           stride_t % packet == 0;
}

template <class Real>
Status run(const char* name, DType dtype, std::int64_t samples, std::int64_t targets,
           const Maps<const void*>& grid, const Maps<void*>& out, const Bands& bands,
           const DeviceLimits& limits, const Stream& stream) noexcept {
    // The walk is along the first axis with something to do.
    const bool flat = bands[0].cells == 1 && bands[0].pixels == 1;
    const BandView &outer = bands[flat ? 1 : 0], &x = bands[2];
    const BandView inner = flat ? BandView{} : bands[1];
    const Separable<Real> problem{axis_of<Real>(outer),
                                  axis_of<Real>(inner),
                                  axis_of<Real>(x),
                                  grid.data,
                                  dtype,
                                  targets,
                                  grid.stride_n,
                                  grid.stride_t,
                                  plan_tiling(samples * targets, sizes_of(outer), sizes_of(inner),
                                              sizes_of(x), sizeof(Real), kGroup, false, limits)};
    return with_flag(aligned(out.data, out.stride_n, out.stride_t, x.pixels, sizeof(Real)),
                     [&](auto flag) noexcept {
                         constexpr bool kPacked = decltype(flag)::value;
                         const WriteMaps<Real, kPacked> write{
                             static_cast<Real*>(out.data), out.stride_n, out.stride_t, inner.pixels, x.pixels,
                             problem.tiling.packets};
                         return with_walk(problem.tiling.walk, [&](auto walk) noexcept {
                             return launch(name, upsample_bands<Real, decltype(walk)::value, kPacked>,
                                           shape_of(problem.tiling), stream, problem, write);
                         });
                     });
}

}  // namespace

Status check_bands(const char* name, const BandView* bands, int axes) noexcept {
    for (int i = 0; i < axes; ++i) {
        const BandView& band = bands[i];
        if (band.cells < 1 || band.cells > INT32_MAX || band.pixels < 1 || band.pixels > INT32_MAX)
            return invalid(name, "has an axis with sizes that are not between 1 and 2^31 - 1");
        if (band.taps < 0 || band.taps > band.cells)
            return invalid(name, "has an axis with a number of taps that is not between 0 and its cells");
        if (band.taps == 0 && band.cells != band.pixels)
            return invalid(name, "leaves an axis untouched (no taps), but its sizes differ");
        if (band.taps > 0 && (!band.first || !band.weights))
            return invalid(name, "has an axis with taps, but null tables");
    }
    return {};
}

AxisSizes sizes_of(const BandView& band) noexcept {
    return {band.cells, band.pixels, band.taps == 0 ? 1 : band.taps};
}

Status limits_of(int device, DeviceLimits& limits) noexcept {
    // 24 bits for each size of shared memory, the rest for the number of multiprocessors; 0 where not asked
    // yet.
    static std::array<std::atomic<std::uint64_t>, 64> known{};
    constexpr int kBits = 24;
    constexpr std::uint64_t kMask = (std::uint64_t{1} << kBits) - 1;
    const bool remembered = device >= 0 && static_cast<std::size_t>(device) < known.size();
    std::uint64_t packed =
        remembered ? known[static_cast<std::size_t>(device)].load(std::memory_order_relaxed) : 0;
    if (packed == 0) {
        const std::pair<cudaDeviceAttr, int> wanted[3] = {
            {cudaDevAttrMultiProcessorCount, 2 * kBits},
            {cudaDevAttrMaxSharedMemoryPerMultiprocessor, kBits},
            {cudaDevAttrMaxSharedMemoryPerBlockOptin, 0},
        };
        for (const auto& [attribute, shift] : wanted) {
            int value = 0;
            const cudaError_t error = cudaDeviceGetAttribute(&value, attribute, device);
            if (error != cudaSuccess) return device_error("device attributes", error);
            packed |= static_cast<std::uint64_t>(value) << shift;
        }
        if (remembered) known[static_cast<std::size_t>(device)].store(packed, std::memory_order_relaxed);
    }
    limits = {static_cast<int>(packed >> 2 * kBits), static_cast<int>(packed & kMask),
              static_cast<int>(packed >> kBits & kMask)};
    return {};
}

Status upsample_maps(const char* name, DType dtype, std::int64_t samples, std::int64_t targets,
                     Maps<const void*> grid, Maps<void*> out, const Bands& bands,
                     const Stream& stream) noexcept {
    if (samples == 0 || targets == 0) return {};
    DeviceLimits limits{};
    if (const Status status = limits_of(stream.device, limits); !status.ok()) return status;
    return dtype == DType::float64
               ? run<double>(name, dtype, samples, targets, grid, out, bands, limits, stream)
               : run<float>(name, dtype, samples, targets, grid, out, bands, limits, stream);
}

Status upsample_views(const char* name, const View& grid, const MutableView& maps, const Bands& bands,
                      const Stream& stream) noexcept {
    if (const Status status = check_input("grid", grid, 4); !status.ok()) return status;
    if (const Status status = check_input("maps", maps, 4); !status.ok()) return status;
    if (maps.dtype != accumulator(grid.dtype))
        return invalid("maps", "is float64 for float64 grids, float32 for all others");
    if (maps.sizes[0] != grid.sizes[0]) return invalid("maps", "has another number of maps than grid");
    if (const Status status = check_contiguous("grid", grid); !status.ok()) return status;
    if (const Status status = check_contiguous("maps", maps); !status.ok()) return status;
    if (const Status status = check_bands("bands", bands, 3); !status.ok()) return status;
    for (int i = 0; i < 3; ++i)
        if (bands[i].cells != grid.sizes[i + 1] || bands[i].pixels != maps.sizes[i + 1])
            return invalid("bands", "have other sizes than grid and maps");
    const std::int64_t cells = grid.sizes[1] * grid.sizes[2] * grid.sizes[3];
    const std::int64_t pixels = maps.sizes[1] * maps.sizes[2] * maps.sizes[3];
    return upsample_maps(name, grid.dtype, grid.sizes[0], 1, {grid.data, cells, 0}, {maps.data, pixels, 0},
                         bands, stream);
}

}  // namespace camfast::cuda
