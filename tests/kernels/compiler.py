"""Kernels compiled for a GPU that isn't there, by the launch functions themselves.

Under `compiling` the launch functions run as ever, but their kernels are compiled and not launched, in every
configuration that they would be measured in, for the arguments that they are launched with.
"""

import contextlib
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import triton
from triton.backends.compiler import GPUTarget
from triton.runtime.jit import JITFunction

from camfast.kernels import _tuning


class Compiled(NamedTuple):
    """What a kernel became."""

    name: str
    config: dict[str, Any]
    ptx: str
    cubin: bytes

    def loads(self) -> list[str]:
        """The instructions that read global memory."""
        return re.findall(r"ld\.global[\w.:]*", self.ptx)

    def vector_loads(self) -> list[str]:
        """Those of 128 bits."""
        return [load for load in self.loads() if re.search(r"v4\.[bf]32|v2\.[bf]64", load)]

    def resources(self) -> dict[str, int]:
        """Registers, and bytes of stack and local memory, which hold what doesn't fit in registers."""
        tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
        with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
            file.write(self.cubin)
            file.flush()
            text = subprocess.run([tool, "-res-usage", file.name], capture_output=True, text=True, check=True).stdout
        usage = re.findall(r"(REG|STACK|LOCAL):(\d+)", text)
        assert len(usage) == 3, text
        return {name: int(number) for name, number in usage}


class _Driver:
    """A driver of no GPU, for the compiler to ask what it compiles for."""

    def __init__(self, capability: int) -> None:
        self._capability = capability

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", self._capability, 32)

    def get_current_device(self) -> int:
        return self._capability  # compiled kernels are kept by device

    def get_current_stream(self, device: int) -> int:  # noqa: ARG002
        return 0


@contextlib.contextmanager
def compiling(capability: int) -> Iterator[list[Compiled]]:
    """Collect what launches compile for a compute capability such as 90."""
    found: list[Compiled] = []
    run: Callable[..., Any] = JITFunction.run

    def compile_only(self: Any, *args: Any, grid: Any, warmup: bool, **kwargs: Any) -> None:
        assert all(isinstance(count, int) and count > 0 for count in grid), grid
        kernel = run(self, *args, grid=grid, warmup=True, **kwargs)
        constants = {name: value for name, value in kwargs.items() if name.isupper() or name == "num_warps"}
        found.append(Compiled(self.__name__, constants, kernel.asm["ptx"], kernel.asm["cubin"]))

    def try_all(self: Any, shape: Any, configs: Any, run: Any) -> Any:
        for config in configs[1:]:
            run(config)
        return configs[0]

    with (
        mock.patch.object(triton.runtime.driver, "_active", _Driver(capability)),
        mock.patch.object(JITFunction, "run", compile_only),
        mock.patch.object(_tuning.Tuned, "choose", try_all),
    ):
        yield found
