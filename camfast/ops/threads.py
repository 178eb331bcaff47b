"""The threads that native kernels run on: those that torch has waiting.

Torch's threads spin for a while after each of its ops, as they expect another. A second pool would have to share the
cores with them just then, and a kernel behind a convolution waited for milliseconds until its threads got their turn.
So the kernels run on torch's own, where these are the ones of the libgomp in its wheel; elsewhere on the library's.
"""

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import torch


def share(kernels: ModuleType) -> bool:
    """Have kernels run on torch's threads; False where these can't be had.

    Parameters
    ----------
    kernels
        `camfast._C`.
    """
    found = _torchs_openmp()
    if found is None:
        return False
    kernels.use_team(*(_address(getattr(found, name)) for name in ("GOMP_parallel", "omp_get_thread_num")))
    return True


@contextmanager
def without_team() -> Iterator[None]:
    """Compute on the calling thread alone meanwhile, so that it gets no team of threads.

    Each thread that computes gets a team of its own, and keeps it. With more threads in all teams than there are
    processors OpenMP lets them sleep between loops, which start late then: networks that another thread runs take up to
    twice as long, even while this one does nothing any more.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _torchs_openmp() -> ctypes.CDLL | None:
    """The libgomp that torch has loaded from its own folder: of another copy there would be a second set of threads."""
    if not sys.platform.startswith("linux"):
        return None
    for path in sorted(Path(torch.__file__).with_name("lib").glob("libgomp*.so*")):
        try:
            return ctypes.CDLL(str(path), mode=os.RTLD_NOLOAD | os.RTLD_NOW)
        except OSError:  # it lies there and isn't used
            continue
    return None


def _address(function: "ctypes._NamedFuncPointer") -> int:
    address = ctypes.cast(function, ctypes.c_void_p).value
    assert address is not None
    return address
