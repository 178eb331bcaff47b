"""The configuration of a kernel: measured among a few, once for a class of shapes, then kept.

Another order of summation would change the last bits, so the choice is kept on disk too, beside Triton's compiled
kernels: later processes on the same machine take the same one.
"""

import hashlib
import json
import threading
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import torch
import triton
import triton.testing
from triton.runtime.cache import get_cache_manager

Config = dict[str, int]  # block sizes by their names in the kernel, and num_warps
_FILE = "camfast_choice.json"


def interpreted() -> bool:
    """Whether the kernels run in Triton's interpreter, on CPU tensors (``TRITON_INTERPRET=1``)."""
    return bool(triton.knobs.runtime.interpret)


def size_class(number: int) -> int:
    """Exponent of the power of two that a size doesn't pass: sizes of a class have the same tiles, and one choice."""
    return max(number - 1, 0).bit_length()


class Tuned:
    """A kernel, and which of its configurations is the fastest for what.

    Parameters
    ----------
    kernel
        A function under ``triton.jit`` that gives the same result however often it runs on the same arguments.
    measure
        Milliseconds of a call; by default Triton's own benchmark, with a cold cache.
    """

    def __init__(self, kernel: Any, measure: Callable[[Callable[[], None]], float] | None = None) -> None:
        self.kernel = kernel
        self._measure = measure or _milliseconds
        self._choices: dict[Hashable, Config] = {}
        self._measuring = threading.Lock()

    def __call__(
        self,
        shape: tuple[Hashable, ...],
        configs: Sequence[Config],
        programs: Callable[[Config], int],
        *arguments: Any,
        **constants: Any,
    ) -> None:
        """Launch the kernel.

        Parameters
        ----------
        shape
            What a choice is remembered for: dtype, layout and size classes.
        configs
            The candidates, the one to take where nothing can be measured in front.
        programs
            Number of programs under a configuration.
        """

        def run(config: Config) -> None:
            self.kernel[(programs(config),)](*arguments, **constants, **config)

        run(self.choose(shape, configs, run))

    def choose(self, shape: tuple[Hashable, ...], configs: Sequence[Config], run: Callable[[Config], None]) -> Config:
        """Return the configuration for a shape, after measuring where that is still to be done and can be."""
        if len(configs) == 1 or interpreted():
            return configs[0]
        key = (torch.cuda.current_device(), *shape)
        if (known := self._choices.get(key)) is not None:
            return known
        if torch.cuda.is_current_stream_capturing():
            return configs[0]  # nothing can be timed while a graph is recorded; the next call outside of one does
        with self._measuring:  # another thread's launches would be measured too
            if key not in self._choices:
                self._choices[key] = self._kept(shape, configs, run)
        return self._choices[key]

    def _kept(self, shape: tuple[Hashable, ...], configs: Sequence[Config], run: Callable[[Config], None]) -> Config:
        device = torch.cuda.get_device_name()
        name = repr((self.kernel.cache_key, triton.__version__, device, shape, configs))
        disk = get_cache_manager(hashlib.sha256(name.encode()).hexdigest())
        if (path := disk.get_file(_FILE)) is not None:
            with open(path) as file:  # noqa: PTH123 (a path of Triton's)
                choice: Config = json.load(file)
            return choice
        times = [self._measure(lambda config=config: run(config)) for config in configs]  # type: ignore[misc]
        choice = configs[times.index(min(times))]
        disk.put(json.dumps(choice), _FILE, binary=False)
        return choice


def _milliseconds(call: Callable[[], None]) -> float:
    return float(triton.testing.do_bench(call, warmup=5, rep=20, return_mode="median"))
