#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>

#include "cpu/isa.h"

/// CAMFAST_CPU_ISA says which instruction set is tested; one that this processor lacks is skipped.
int main(int argc, char** argv) {
    testing::InitGoogleTest(&argc, argv);
    const auto& chosen = camfast::cpu::chosen();
    if (!chosen.status.ok()) {
        std::printf("skipped: %s %s\n", chosen.status.argument, chosen.status.message);
        return 77;
    }
    return RUN_ALL_TESTS();
}
