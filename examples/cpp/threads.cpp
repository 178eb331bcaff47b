/// camfast on the threads that an OpenMP program keeps anyway.
#include <camfast/camfast.h>
#include <omp.h>

#include <cstdio>
#include <vector>

// --8<-- [start:team]
extern "C" void GOMP_parallel(void (*body)(void*), void* data, unsigned threads, unsigned flags);

void share_threads() {
    camfast::use_team({GOMP_parallel, omp_get_thread_num});
}
// --8<-- [end:team]

int main() {
    share_threads();
    constexpr std::int64_t kCells = 64, kPixels = 1024;
    const std::vector<float> grid(kCells * kCells, 1.0f);
    std::vector<float> map(kPixels * kPixels);
    const camfast::Status status = camfast::linear_upsample(
        camfast::contiguous(grid.data(), 1, 1, kCells, kCells),
        camfast::contiguous(map.data(), 1, 1, kPixels, kPixels), omp_get_max_threads());
    if (!status.ok()) {
        std::fprintf(stderr, "linear_upsample: %s %s\n", status.argument, status.message);
        return 1;
    }
    std::printf("from %g to %g on OpenMP's threads\n", static_cast<double>(map.front()),
                static_cast<double>(map.back()));
    return 0;
}
