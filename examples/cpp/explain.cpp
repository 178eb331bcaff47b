/// A class activation map in C++: Respond-CAM of one window, sprayed on its voxels by Gaussians.
///
///     explain activations.mrc gradients.mrc map.mrc size sigma
///
/// Both inputs are stacks of C volumes (MRC mode 2, ISPG 401); inputs.py writes them from a network. The map
/// is a cube of `size` voxels, each cell a Gaussian of `sigma` of them.
#include <camfast/camfast.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <stdexcept>
#include <string>
#include <thread>

#include "mrc.h"

namespace {

/// What is wrong with a call, as an exception of this program: camfast throws none.
void check(const char* function, const camfast::Status& status) {
    if (status.ok()) return;
    throw std::runtime_error(std::string(function) + ": " + status.argument + " " + status.message + " (" +
                             camfast::status_name(status.code) + ")");
}

/// The map of (C, D, H, W) activations and gradients on a cube of `size` voxels.
Stack explain(const Stack& activations, const Stack& gradients, std::int64_t size, double sigma) {
    Stack map{1, size, size, size, 0, std::vector<float>(static_cast<std::size_t>(size * size * size))};
    const int threads = static_cast<int>(std::max(std::thread::hardware_concurrency(), 1u));

    // --8<-- [start:call]
    const std::int64_t channels = activations.count, d = activations.depth, h = activations.height,
                       w = activations.width;
    std::vector<float> grid(static_cast<std::size_t>(d * h * w));

    // A (N, C, P) and G (T, N, C, P): one sample, one target
    const camfast::View a = camfast::contiguous(activations.values.data(), 1, channels, d * h * w);
    const camfast::View g = camfast::contiguous(gradients.values.data(), 1, 1, channels, d * h * w);
    const camfast::MutableView cells = camfast::contiguous(grid.data(), 1, 1, d * h * w);
    check("fused_cam", camfast::fused_cam(camfast::CamMethod::respond, /*relu=*/false, a, g, cells,
                                          /*weights=*/{}, /*ill_conditioned=*/nullptr,
                                          /*upsampling=*/{}, /*maps=*/{}, threads));

    // every cell a Gaussian of sigma voxels; the cells tile the cube
    const camfast::GaussianAxis axes[3] = {camfast::tiling_axis(d, size, sigma),
                                           camfast::tiling_axis(h, size, sigma),
                                           camfast::tiling_axis(w, size, sigma)};
    const camfast::View volume = camfast::contiguous(grid.data(), 1, d, h, w);
    const camfast::MutableView voxels = camfast::contiguous(map.values.data(), 1, size, size, size);
    check("gaussian_upsample",
          camfast::gaussian_upsample(volume, voxels, axes, camfast::Gain::spray, threads));
    // --8<-- [end:call]
    return map;
}

double number(const char* name, const char* text) {
    char* end = nullptr;
    const double value = std::strtod(text, &end);
    if (end == text || *end != '\0' || !(value > 0) || value > 4096)
        throw std::runtime_error(std::string(name) + " must be a number from 1 to 4096, found " + text);
    return value;
}

int run(int argc, char** argv) {
    if (argc != 6) {
        std::fprintf(stderr, "usage: %s activations.mrc gradients.mrc map.mrc size sigma\n", argv[0]);
        return 2;
    }
    const Stack activations = read_mrc(argv[1]), gradients = read_mrc(argv[2]);
    if (gradients.count != activations.count || gradients.depth != activations.depth ||
        gradients.height != activations.height || gradients.width != activations.width)
        throw std::runtime_error(std::string(argv[2]) + ": has other sizes than " + argv[1] +
                                 "; both hold one volume for each channel of one layer");
    const auto size = static_cast<std::int64_t>(number("size", argv[4]));
    const double sigma = number("sigma", argv[5]);
    Stack map = explain(activations, gradients, size, sigma);
    map.voxel_angstrom =
        activations.voxel_angstrom * static_cast<float>(activations.width) / static_cast<float>(size);
    write_mrc(argv[3], map);

    const auto peak = std::max_element(map.values.begin(), map.values.end()) - map.values.begin();
    std::printf("camfast %s, %s\n", camfast::version(), camfast::instruction_set());
    std::printf("%lld channels of %lld x %lld x %lld cells\n", static_cast<long long>(activations.count),
                static_cast<long long>(activations.depth), static_cast<long long>(activations.height),
                static_cast<long long>(activations.width));
    std::printf("largest value %.6g at z %lld, y %lld, x %lld\n",
                static_cast<double>(map.values[static_cast<std::size_t>(peak)]),
                static_cast<long long>(peak / size / size), static_cast<long long>(peak / size % size),
                static_cast<long long>(peak % size));
    std::printf("wrote %s\n", argv[3]);
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    try {
        return run(argc, argv);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "explain: %s\n", error.what());
        return 1;
    }
}
