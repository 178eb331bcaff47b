#include "cpu/isa.h"

#include <cstdlib>
#include <cstring>

namespace camfast::cpu {
namespace {

Isa best() noexcept {
    if (isa_supported(Isa::avx512)) return Isa::avx512;
    return isa_supported(Isa::avx2) ? Isa::avx2 : Isa::baseline;
}

Chosen choose() noexcept {
    Chosen result{best(), {}, {}};
    if (const char* const wanted = std::getenv("CAMFAST_CPU_ISA"); wanted && *wanted) {
        result.status = {StatusCode::unsupported, "CAMFAST_CPU_ISA",
                         "names no instruction set of this build; use baseline, avx2 or avx512, or unset it"};
        for (int i = 0; i < kIsas; ++i) {
            const auto isa = static_cast<Isa>(i);
            if (std::strcmp(wanted, isa_name(isa)) != 0) continue;
            if (isa_supported(isa)) {
                result.isa = isa;
                result.status = {};
            } else {
                result.status = {
                    StatusCode::unsupported, "CAMFAST_CPU_ISA",
                    "names an instruction set that this processor does not have; use baseline, or "
                    "unset it"};
            }
        }
    }
#define CAMFAST_FILL(isa)                 \
    isa::fill_channel_sums(result.table); \
    isa::fill_map_sums(result.table);     \
    isa::fill_overlay(result.table);      \
    isa::fill_pack(result.table);         \
    isa::fill_resample(result.table);     \
    isa::fill_row_sum(result.table);      \
    isa::fill_running_max(result.table);  \
    isa::fill_upsample(result.table);     \
    isa::fill_window_sum(result.table)
    switch (result.isa) {
#if defined(CAMFAST_X86)
        case Isa::avx512: CAMFAST_FILL(avx512); break;
        case Isa::avx2: CAMFAST_FILL(avx2); break;
#endif
        default: CAMFAST_FILL(baseline);
    }
    return result;
}

}  // namespace

const char* isa_name(Isa isa) noexcept {
    constexpr const char* kNames[kIsas] = {"baseline", "avx2", "avx512"};
    return kNames[static_cast<int>(isa)];
}

bool isa_supported(Isa isa) noexcept {
#if defined(CAMFAST_X86)
    __builtin_cpu_init();
    // F16C is older than AVX2 and part of every processor that has it; clang cannot ask for it by name.
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    return isa == Isa::baseline || (isa == Isa::avx2 && avx2) || (isa == Isa::avx512 && avx512);
#else
    return isa == Isa::baseline;
#endif
}

const Chosen& chosen() noexcept {
    static const Chosen result = choose();
    return result;
}

}  // namespace camfast::cpu
