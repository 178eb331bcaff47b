#include <cmath>

#include "arguments.h"
#include "camfast/cuda/overlay.h"
#include "cuda/pixels.cuh"
#include "cuda/upsampler.cuh"

namespace camfast::cuda {
namespace {

/// Rows of a thread: with fewer sums than the upsamplings, for what the colours take.
constexpr int kGroup = 4;
constexpr int kColors = 256;
constexpr std::uint32_t kMagenta = 0xff00ff;
/// Added to a number below 2^22, it leaves the number rounded in the lowest bits.
constexpr float kRounder = 12582912.0f;

/// Cells as positions between both ends of the table, so that no pixel has to be scaled.
struct Shades {
    double low, scale;  // 0 where both ends are equal

    template <class Element>
    __device__ float operator()(Element element) const {
        return shade(widen(element));
    }

private:
    template <class Real>
    __device__ float shade(Real value) const {
        const Real shade = (value - static_cast<Real>(low)) * static_cast<Real>(scale);
        return static_cast<float>(scale == 0 && value == value ? Real{0} : shade);
    }
};

/// Shades that wait in shared memory, not in registers, until cells are read.
struct ReadShades {
    int begin;  // in shared memory

    __device__ Shades& open() const { return *reinterpret_cast<Shades*>(shared_memory<char>() + begin); }
};

__device__ double value_of(const Level& level) {
    return level.device ? static_cast<double>(*level.device) : level.value;
}

/// Bytes of the shades and the table.
constexpr int kPaintBytes = static_cast<int>(sizeof(Shades)) + 4 * kColors;

/// What the blend needs beside the heat.
struct Painting {
    const std::uint8_t* table;
    Level low, high;
    Base base;  // of the image under the colours; for a threshold, of the image alone
    float alpha, threshold;
    std::uint8_t* out;
    std::int64_t out_stride, height, width;
    int aligned;       // bytes that every row of the output is aligned to
    int shades_begin;  // in shared memory: Shades, the table, then 384 bytes a warp

    __device__ std::uint32_t* colors() const {
        return reinterpret_cast<std::uint32_t*>(shared_memory<char>() + shades_begin + sizeof(Shades));
    }
};

/// Blends the rows of a group, and writes each warp's 128 pixels together.
template <class Image, int kChannels>
class Blend {
public:
    __device__ Blend(const Painting& painting, const Image& image, int packets)
        : painting_(painting), image_(image), packets_(packets) {
        if (threadIdx.x == 0) {
            const double low = value_of(painting.low), high = value_of(painting.high);
            ReadShades{painting.shades_begin}.open() = {low, low == high ? 0.0 : 1.0 / (high - low)};
        }
        std::uint32_t* const colors = painting.colors();
        for (int i = static_cast<int>(threadIdx.x); i < kColors; i += static_cast<int>(blockDim.x)) {
            const std::uint8_t* const rgb = painting.table + 3 * i;
            colors[i] = static_cast<std::uint32_t>(rgb[0] | rgb[1] << 8 | rgb[2] << 16);
        }
        __syncthreads();
    }

    __device__ void operator()(const Part& part, int, int lane, int row, int count,
                               const Sums<float, kGroup>& shades) const {
        const std::int64_t x = (static_cast<std::int64_t>(part.tile_x) * packets_ + lane) * kQuad;
        const std::int64_t first = part.sample * painting_.height + row;
        if constexpr (Image::kQuads) {
            typename Image::Quad quads[kGroup];
#pragma unroll
            for (int j = 0; j < kGroup; ++j)
                quads[j] = image_.load(first + min(j, count - 1), x, painting_.base);
#pragma unroll
            for (int j = 0; j < kGroup; ++j)
                if (j < count) paint(shades[j], quads[j], part.sample, row + j, x);
        } else {
            for (int j = 0; j < count; ++j) {
                float values[kQuad];
#pragma unroll
                for (int i = 0; i < kQuad; ++i) {
                    values[i] = shades[0][i];
#pragma unroll
                    for (int k = 1; k < kGroup; ++k) values[i] = j == k ? shades[k][i] : values[i];
                }
                paint(values, image_.load(first + j, x, painting_.base), part.sample, row + j, x);
            }
        }
    }

private:
    __device__ void paint(const float (&shades)[kQuad], const typename Image::Quad& quad, std::int64_t sample,
                          int row, std::int64_t x) const {
        std::uint32_t bytes[kQuadBytes];
        if (painting_.threshold > 0)
            blend<true>(shades, quad, bytes);
        else
            blend<false>(shades, quad, bytes);
        float sum = 0;
#pragma unroll
        for (int i = 0; i < kQuad; ++i) sum += shades[i];
        if (sum != sum) show_nan(shades, bytes);

        std::uint32_t* const warp = painting_.colors() + kColors +
                                    static_cast<int>(threadIdx.x) / warpSize * warpSize * kQuadBytes / 4;
        const int lane = static_cast<int>(threadIdx.x) % warpSize;
#pragma unroll
        for (int i = 0; i < 3; ++i)
            warp[3 * lane + i] =
                pack_bytes(bytes[4 * i], bytes[4 * i + 1], bytes[4 * i + 2], bytes[4 * i + 3]);
        __syncwarp();
        const std::int64_t start = x - lane * kQuad;
        const auto pixels = static_cast<int>(min(std::int64_t{warpSize * kQuad}, painting_.width - start));
        store_bytes(warp, 3 * pixels,
                    painting_.out + sample * painting_.out_stride + (row * painting_.width + start) * 3,
                    painting_.aligned);
        __syncwarp();
    }

    template <bool kHides>
    __device__ void blend(const float (&shades)[kQuad], const typename Image::Quad& quad,
                          std::uint32_t (&bytes)[kQuadBytes]) const {
#pragma unroll
        for (int i = 0; i < kQuad; ++i) {
            const float shade = __saturatef(shades[i]);
            const std::uint32_t place = __float_as_uint(shade * (kColors - 1) + kRounder);
            const std::uint32_t color = painting_.colors()[place & (kColors - 1)];
            const float alpha = kHides && shade < painting_.threshold ? 0 : painting_.alpha;
#pragma unroll
            for (int c = 0; c < 3; ++c) {
                const float level = Image::part(quad, kChannels == 1 ? i : 3 * i + c, painting_.base);
                const auto tone = static_cast<float>(color >> 8 * c & 0xff);
                bytes[3 * i + c] = __float_as_uint((kHides ? tone - level : tone) * alpha + level + kRounder);
            }
        }
    }

    /// Pixels without a number are magenta, whatever the opacity.
    __device__ static void show_nan(const float (&shades)[kQuad], std::uint32_t (&bytes)[kQuadBytes]) {
#pragma unroll
        for (int i = 0; i < kQuad; ++i)
#pragma unroll
            for (int c = 0; c < 3; ++c)
                if (shades[i] != shades[i]) bytes[3 * i + c] = kMagenta >> 8 * c & 0xff;
    }

    const Painting& painting_;
    const Image& image_;
    const int packets_;
};

template <Walk kWalk, class Image, int kChannels>
__global__ void __launch_bounds__(kMaxUpsampleThreads, 2)
    overlay_bands(const Separable<float> problem, const Painting painting, const Image image) {
    const Blend<Image, kChannels> blend(painting, image, problem.tiling.packets);
    Upsampler<float, kWalk, true, kGroup, ReadShades>(problem, {painting.shades_begin}).run(blend);
}

Status check(const View& image, const View& heat, const BandView (&bands)[2], const Shading& shading,
             const View& out) noexcept {
    if (const Status status = check_shape("image", image, image.rank == 4 ? 4 : 3); !status.ok())
        return status;
    if (!is_float(image.dtype) && image.dtype != DType::uint8 && image.dtype != DType::uint16)
        return invalid("image", "is neither uint8 nor uint16 nor a float");
    if (image.rank == 4 && image.sizes[3] != 3)
        return invalid("image", "has a last axis that isn't red, green, blue");
    if (const Status status = check_input("heat", heat, 3); !status.ok()) return status;
    if (const Status status = check_shape("out", out, 4); !status.ok()) return status;
    if (out.dtype != DType::uint8) return invalid("out", "is not uint8");
    if (const Status status = check_bands("bands", bands, 2); !status.ok()) return status;
    for (int i = 0; i < 3; ++i) {
        if (i > 0 && (bands[i - 1].cells != heat.sizes[i] || bands[i - 1].pixels != image.sizes[i]))
            return invalid("bands", "have other sizes than heat and image");
        if (out.sizes[i] != image.sizes[i]) return invalid("out", "has other sizes than image");
    }
    if (const Status status = check_contiguous("image", image); !status.ok()) return status;
    if (const Status status = check_contiguous("heat", heat); !status.ok()) return status;
    if (const Status status = check_contiguous("out", out, 1); !status.ok()) return status;
    if (out.sizes[3] != 3) return invalid("out", "has a last axis that isn't red, green, blue");
    if (heat.sizes[0] != image.sizes[0]) return invalid("heat", "has another number of samples than image");
    if (!shading.table) return invalid("table", "is a null pointer");
    if (!(shading.alpha >= 0 && shading.alpha <= 1)) return invalid("alpha", "is not between 0 and 1");
    if (!(shading.threshold >= 0 && shading.threshold <= 1))
        return invalid("threshold", "is not between 0 and 1");
    if (!std::isfinite(shading.black) || !std::isfinite(shading.white) || shading.black == shading.white)
        return invalid("black", "and white are not two different finite levels");
    return {};
}

int alignment(const MutableView& out) noexcept {
    const auto divides = [&](std::uint64_t bytes) {
        return reinterpret_cast<std::uintptr_t>(out.data) % bytes == 0 &&
               static_cast<std::uint64_t>(out.strides[0]) % bytes == 0 &&
               static_cast<std::uint64_t>(3 * out.sizes[2]) % bytes == 0;
    };
    return divides(16) ? 16 : divides(4) ? 4 : 1;
}

template <class Image, int kChannels>
Status run(const View& image, const Separable<float>& problem, const Painting& painting,
           const Stream& stream) noexcept {
    Shape shape = shape_of(problem.tiling);
    shape.shared_bytes =
        static_cast<std::size_t>(painting.shades_begin + kPaintBytes + kQuadBytes * problem.tiling.threads);
    return with_walk(problem.tiling.walk, [&](auto walk) noexcept {
        constexpr Walk kWalk = decltype(walk)::value;
        using Source =
            std::conditional_t<kWalk == Walk::remade, AnyImage<kChannels>, Image>;  // rare: one is enough
        return launch("overlay", overlay_bands<kWalk, Source, kChannels>, shape, stream, problem, painting,
                      Source(image));
    });
}

template <int kChannels>
Status run_any(const View& image, const Separable<float>& problem, const Painting& painting,
               const Stream& stream) noexcept {
    const auto quads =
        reinterpret_cast<std::uintptr_t>(image.data) % (kQuad * element_size(image.dtype)) == 0;
    if (image.sizes[2] % kQuad == 0 && quads) {
        if (image.dtype == DType::uint8)
            return run<QuadImage<std::uint8_t, kChannels>, kChannels>(image, problem, painting, stream);
        if (image.dtype == DType::uint16)
            return run<QuadImage<std::uint16_t, kChannels>, kChannels>(image, problem, painting, stream);
        if (image.dtype == DType::float32)
            return run<QuadImage<float, kChannels>, kChannels>(image, problem, painting, stream);
    }
    return run<AnyImage<kChannels>, kChannels>(image, problem, painting, stream);
}

}  // namespace

Status overlay(const View& image, const View& heat, const BandView (&bands)[2], const Shading& shading,
               const MutableView& out, const Stream& stream) noexcept {
    if (const Status status = check(image, heat, bands, shading, out); !status.ok()) return status;
    if (image.sizes[0] == 0) return {};
    DeviceLimits limits{};
    if (const Status status = limits_of(stream.device, limits); !status.ok()) return status;
    // The table and the warps' bytes stand behind what the upsampling takes.
    limits.shared_per_block -= kPaintBytes + kQuadBytes * kMaxUpsampleThreads;
    const BandView line{};
    const Separable<float> problem{axis_of<float>(bands[0]),
                                   axis_of<float>(line),
                                   axis_of<float>(bands[1]),
                                   heat.data,
                                   heat.dtype,
                                   1,
                                   heat.sizes[1] * heat.sizes[2],
                                   0,
                                   plan_tiling(image.sizes[0], sizes_of(bands[0]), sizes_of(line),
                                               sizes_of(bands[1]), sizeof(float), kGroup, true, limits)};
    const auto threshold = static_cast<float>(shading.threshold);
    const double most = threshold > 0 ? 255 : 255 * (1 - shading.alpha);
    const Painting painting{shading.table,
                            shading.low,
                            shading.high,
                            {shading.black, most / (shading.white - shading.black), most},
                            static_cast<float>(shading.alpha),
                            threshold,
                            static_cast<std::uint8_t*>(out.data),
                            out.strides[0],
                            image.sizes[1],
                            image.sizes[2],
                            alignment(out),
                            problem.tiling.shared_bytes};
    return image.rank == 4 ? run_any<3>(image, problem, painting, stream)
                           : run_any<1>(image, problem, painting, stream);
}

}  // namespace camfast::cuda
