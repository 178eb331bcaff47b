#include "cuda/tiling.h"

#include <algorithm>
#include <limits>

#include "arguments.h"

namespace camfast::cuda {
namespace {

constexpr std::int64_t kWarp = 32;
/// Packets of a tile's row where a map has more: whole cache lines of 128 bytes.
constexpr std::int64_t kLinePackets = 8;
/// Shared memory that a block takes beside what it asks for.
constexpr std::int64_t kReservedShared = 1024;
/// Registers of a multiprocessor over those of a thread.
constexpr std::int64_t kThreadsByRegisters = 65536 / 80;

/// Cycles of a multiprocessor in which its share of the memory takes a packet from each thread of a warp.
constexpr double kStoreCycles = 28;
/// Cycles from one barrier to the next where nothing overlaps: a read of the grid, and the loops behind it.
constexpr double kStepCycles = 1500;

/// Cells that `pixels` adjacent pixels are made of, where centres are spread evenly over the pixels.
std::int64_t reach(const AxisSizes& axis, std::int64_t pixels) noexcept {
    const double more =
        static_cast<double>(pixels - 1) * static_cast<double>(axis.cells) / static_cast<double>(axis.pixels);
    return std::min(axis.cells, axis.taps + static_cast<std::int64_t>(more) + (more > 0));
}

std::int64_t round_up(std::int64_t value, std::int64_t unit) noexcept {
    return ceil_div(value, unit) * unit;
}

/// A tile of `wanted` rows or a little less, so that tiles are even, over the width that leaves threads for.
void shape_tile(Tiling& tiling, std::int64_t wanted, const AxisSizes& y, std::int64_t packets,
                std::int64_t unit) noexcept {
    tiling.tiles_y = ceil_div(y.pixels, wanted);
    tiling.rows = static_cast<int>(ceil_div(y.pixels, tiling.tiles_y));
    std::int64_t most = kMaxUpsampleThreads / wanted;
    if (most > kLinePackets) most -= most % kLinePackets;
    tiling.tiles_x = ceil_div(packets, most);
    const std::int64_t wide = ceil_div(packets, tiling.tiles_x);
    tiling.packets =
        static_cast<int>(round_up(wide, tiling.tiles_x > 1 ? std::max(unit, kLinePackets) : unit));
    tiling.tiles_x = ceil_div(packets, tiling.packets);
    tiling.threads = static_cast<int>(round_up(std::int64_t{tiling.rows} * tiling.packets, kWarp));
}

int line_bytes(const Tiling& tiling) noexcept {
    return 16 * tiling.packets;
}

/// Lines so that each thread expands some at a time; then as many planes as a group of pixels reads, if they
/// fit.
void share_memory(Tiling& tiling, const AxisSizes& z, const AxisSizes& y, int element, int group,
                  const DeviceLimits& device) noexcept {
    const std::int64_t cells = reach(y, tiling.rows);
    const std::int64_t line = line_bytes(tiling);
    const std::int64_t per_thread = std::int64_t{4} * element * tiling.threads / (cells * line);
    const std::int64_t most = std::max<std::int64_t>(1, device.shared_per_block / 16 / line);
    tiling.lines = static_cast<int>(std::min(cells * std::clamp<std::int64_t>(per_thread, 1, 4), most));
    const std::int64_t column = std::int64_t{16} * tiling.threads;
    const std::int64_t room = device.shared_per_block - 2 * line * tiling.lines;
    const std::int64_t planes = room / (column + 2 * group * element);
    tiling.walk = z.taps <= 2 ? Walk::direct : z.taps <= planes ? Walk::kept : Walk::remade;
    const std::int64_t waiting = tiling.walk == Walk::remade ? group : 0;
    const bool skips =
        tiling.walk == Walk::direct && z.cells > z.pixels;  // cells between those of two pixels
    const std::int64_t most_planes = skips ? z.taps : reach(z, std::min<std::int64_t>(group, z.pixels));
    tiling.ring = static_cast<int>(std::clamp<std::int64_t>(planes - waiting, 1, most_planes));
    tiling.lines_begin = static_cast<int>(column * (tiling.ring + waiting));
    tiling.weights_begin = tiling.lines_begin + 2 * tiling.lines * line_bytes(tiling);
    tiling.shared_bytes = tiling.weights_begin + 2 * group * element * tiling.ring;
}

/// Part of the time in which a multiprocessor with so many warps has something to do.
double busy(double warps) noexcept {
    return std::min(1.0, 0.6 + warps / 60);
}

/// Cycles of the launch. The pipes of shared memory are what is busiest; a warp's access takes a cycle for
/// each 128 bytes.
double cycles(const Tiling& tiling, const AxisSizes& z, const AxisSizes& y, const AxisSizes& x, int element,
              int group, const DeviceLimits& device) noexcept {
    const double warps = static_cast<double>(tiling.threads / kWarp);
    const double cells_y = static_cast<double>(reach(y, tiling.rows));
    const double width = 16.0 / element * tiling.packets;
    const double expand = cells_y * width * static_cast<double>(x.taps) * 1.25 / kWarp;
    const double combine = warps * static_cast<double>(5 * y.taps + 4);
    const std::int64_t together = std::min<std::int64_t>(group, tiling.length);
    const double sum = tiling.walk == Walk::direct
                           ? static_cast<double>(4 * z.taps + 2)
                           : static_cast<double>((4 + group / 4) * reach(z, together)) / group;
    const auto groups = static_cast<double>(ceil_div(tiling.length, group));
    const double planes = tiling.walk != Walk::remade ? static_cast<double>(reach(z, tiling.length))
                                                      : groups * static_cast<double>(reach(z, together));
    const double block =
        planes * (expand + combine) + static_cast<double>(tiling.length) * warps * (sum + kStoreCycles);

    const double first = static_cast<double>(reach(z, together)) * cells_y / tiling.lines;
    const double latency = kStepCycles * ((tiling.walk != Walk::remade ? first : first * groups) + groups);
    const std::int64_t shared = tiling.shared_bytes + kReservedShared;
    const std::int64_t resident = std::max<std::int64_t>(
        1, std::min(device.shared_per_multiprocessor / shared, kThreadsByRegisters / tiling.threads));
    const std::int64_t each = ceil_div(tiling.tiles, device.multiprocessors);
    const std::int64_t rounds = each / resident, rest = each % resident;
    const auto blocks = [&](std::int64_t together) {
        const auto count = static_cast<double>(together);
        return together == 0 ? 0 : std::max(latency + block, count * block / busy(count * warps));
    };
    return static_cast<double>(rounds) * blocks(resident) + blocks(rest);
}

}  // namespace

Tiling plan_tiling(std::int64_t maps, const AxisSizes& z, const AxisSizes& y, const AxisSizes& x, int element,
                   int group, bool full_warps, const DeviceLimits& device) noexcept {
    const std::int64_t packets = ceil_div(x.pixels, 16 / element);
    Tiling best{};
    double shortest = std::numeric_limits<double>::infinity();
    for (std::int64_t rows = 1; rows <= kWarp; rows *= 2) {
        if (rows > 1 && (full_warps || rows >= 2 * y.pixels)) break;
        Tiling tiling{};
        tiling.maps = maps;
        shape_tile(tiling, std::min(rows, y.pixels), y, packets, full_warps ? kWarp : 1);
        share_memory(tiling, z, y, element, group, device);
        for (std::int64_t parts = 1; parts <= 128; parts *= 2) {
            tiling.length = round_up(ceil_div(z.pixels, parts), group);
            tiling.segments = ceil_div(z.pixels, tiling.length);
            tiling.tiles = maps * tiling.segments * tiling.tiles_y * tiling.tiles_x;
            const double time = cycles(tiling, z, y, x, element, group, device);
            if (time < shortest) {
                shortest = time;
                best = tiling;
            }
            if (tiling.length <= group) break;
        }
    }
    return best;
}

}  // namespace camfast::cuda
