/// Choice of the instruction set.
#pragma once

#include "camfast/status.h"
#include "cpu/tiles/tiles.h"

namespace camfast::cpu {

enum class Isa : int { baseline = 0, avx2 = 1, avx512 = 2 };
constexpr int kIsas = 3;

const char* isa_name(Isa isa) noexcept;
bool isa_supported(Isa isa) noexcept;

/// The best set of this processor, or the one that the environment variable CAMFAST_CPU_ISA names; chosen at
/// the first call. The status says what is wrong with the variable; the table is then that of the best set.
struct Chosen {
    Isa isa;
    Status status;
    TileTable table;
};
const Chosen& chosen() noexcept;

}  // namespace camfast::cpu
