#include "camfast/runtime.h"

#include "camfast/version.h"
#include "cpu/isa.h"

namespace camfast {

const char* version() noexcept {
    return CAMFAST_VERSION;
}

const char* instruction_set() noexcept {
    return cpu::isa_name(cpu::chosen().isa);
}

Status instruction_set_status() noexcept {
    return cpu::chosen().status;
}

}  // namespace camfast
