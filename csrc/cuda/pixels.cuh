/// Four pixels of an image at a time, one or three elements each.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "cuda/vector_access.cuh"

namespace camfast::cuda {

constexpr int kQuad = 4;
/// Bytes of four red, green, blue pixels.
constexpr int kQuadBytes = 12;

/// Elements of an image as parts of the blend: clip((element - black) scale, 0, most). NaN becomes 0.
struct Base {
    double exact_black, exact_scale;  // for float64
    float black, scale, most;

    Base(double black, double scale, double most) noexcept
        : exact_black(black),
          exact_scale(scale),
          black(static_cast<float>(black)),
          scale(static_cast<float>(scale)),
          most(static_cast<float>(most)) {}

    __device__ float of(double element) const {
        return clip(static_cast<float>((element - exact_black) * exact_scale));
    }
    __device__ float of(float element) const { return clip((element - black) * scale); }

private:
    __device__ float clip(float value) const { return fminf(fmaxf(value, 0.0f), most); }
};

__device__ inline float widen(std::uint8_t value) {
    return value;
}
__device__ inline float widen(std::uint16_t value) {
    return value;
}

/// Four adjacent elements, read at once.
template <class Element>
struct alignas(kQuad * sizeof(Element)) Elements {
    Element values[kQuad];
};

/// An image whose rows are whole quads, aligned to four elements.
template <class Element, int kChannels>
class QuadImage {
public:
    static constexpr bool kQuads = true;

    struct Quad {
        Elements<Element> parts[kChannels];
    };

    explicit QuadImage(const View& image) noexcept
        : data_(static_cast<const Element*>(image.data)), width_(image.sizes[2]) {}

    /// Four pixels of a row; the last ones for x behind it.
    __device__ Quad load(std::int64_t row, std::int64_t x, const Base&) const {
        const std::int64_t pixel = row * width_ + min(x, width_ - kQuad);
        const auto* const source = reinterpret_cast<const Elements<Element>*>(data_ + pixel * kChannels);
        Quad quad;
#pragma unroll
        for (int i = 0; i < kChannels; ++i) quad.parts[i] = source[i];
        return quad;
    }

    __device__ static float part(const Quad& quad, int i, const Base& base) {
        return base.of(widen(quad.parts[i / kQuad].values[i % kQuad]));
    }

private:
    const Element* data_;
    std::int64_t width_;
};

/// Any image, element by element.
template <int kChannels>
class AnyImage {
public:
    static constexpr bool kQuads = false;

    struct Quad {
        float parts[kQuad * kChannels];
    };

    explicit AnyImage(const View& image) noexcept
        : data_(image.data), dtype_(image.dtype), width_(image.sizes[2]) {}

    __device__ Quad load(std::int64_t row, std::int64_t x, const Base& base) const {
        switch (dtype_) {
            case DType::uint8: return load_as<std::uint8_t>(row, x, base);
            case DType::uint16: return load_as<std::uint16_t>(row, x, base);
            case DType::bfloat16: return load_as<BFloat16>(row, x, base);
            case DType::float16: return load_as<Float16>(row, x, base);
            case DType::float64: return load_as<double>(row, x, base);
            default: return load_as<float>(row, x, base);
        }
    }

    __device__ static float part(const Quad& quad, int i, const Base&) { return quad.parts[i]; }

private:
    template <class Element>
    __device__ Quad load_as(std::int64_t row, std::int64_t x, const Base& base) const {
        const Element* const line = static_cast<const Element*>(data_) + row * width_ * kChannels;
        Quad quad;
#pragma unroll
        for (int i = 0; i < kQuad; ++i) {
            const std::int64_t pixel = min(x + i, width_ - 1);
#pragma unroll
            for (int c = 0; c < kChannels; ++c)
                quad.parts[i * kChannels + c] = base.of(widen(line[pixel * kChannels + c]));
        }
        return quad;
    }

    const void* data_;
    DType dtype_;
    std::int64_t width_;
};

/// The lowest bytes of four numbers, the first in the lowest byte.
__device__ inline std::uint32_t pack_bytes(std::uint32_t a, std::uint32_t b, std::uint32_t c,
                                           std::uint32_t d) {
    return __byte_perm(__byte_perm(a, b, 0x0040), __byte_perm(c, d, 0x0040), 0x5410);
}

/// Bytes that a warp has in shared memory, to `target`: by 16, by 4 or one by one, as far as all rows are
/// aligned to.
__device__ inline void store_bytes(const std::uint32_t* source, int bytes, std::uint8_t* target,
                                   int aligned) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    if (aligned == 16) {
        const auto* const words = reinterpret_cast<const uint4*>(source);
        if (lane * 16 < bytes) reinterpret_cast<uint4*>(target)[lane] = words[lane];
    } else if (aligned == 4) {
#pragma unroll 1
        for (int i = lane; i * 4 < bytes; i += 32) reinterpret_cast<std::uint32_t*>(target)[i] = source[i];
    } else {
        const auto* const single = reinterpret_cast<const std::uint8_t*>(source);
#pragma unroll 1
        for (int i = lane; i < bytes; i += 32) target[i] = single[i];
    }
}

}  // namespace camfast::cuda
