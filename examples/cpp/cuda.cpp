/// The map of arrays on a CUDA device; the program allocates, camfast queues kernels.
#include <camfast/contiguous.h>
#include <camfast/cuda/fused_cam.h>

#include <cstdint>

// --8<-- [start:cuda]
/// What a loop allocates once, with cudaMalloc: the counters filled with 0.
camfast::cuda::WorkspaceSize wanted(const float* activations, const float* gradients, std::int64_t channels,
                                    std::int64_t cells, int device) {
    return camfast::cuda::fused_cam_workspace(camfast::CamMethod::respond,
                                              camfast::contiguous(activations, 1, channels, cells),
                                              camfast::contiguous(gradients, 1, 1, channels, cells), device);
}

/// The map on the layer's grid; all addresses are of the device. It waits for nothing: what `stream` does
/// next comes after it.
camfast::Status map_on_device(const float* activations, const float* gradients, float* grid,
                              std::int64_t channels, std::int64_t cells,
                              const camfast::cuda::Workspace& workspace,
                              const camfast::cuda::Stream& stream) {
    const camfast::cuda::BandView no_upsampling[3] = {};
    return camfast::cuda::fused_cam(
        camfast::CamMethod::respond, /*relu=*/false, camfast::contiguous(activations, 1, channels, cells),
        camfast::contiguous(gradients, 1, 1, channels, cells), camfast::contiguous(grid, 1, 1, cells),
        /*weights=*/{},
        /*ill_conditioned=*/nullptr, no_upsampling, /*maps=*/{}, workspace, stream);
}
// --8<-- [end:cuda]
