"""What a call needs at most beside the model and its inputs, in a process of its own.

``python -m bench.peak_memory --network resnet50 --batch 16 --contender camfast`` prints JSON.

The process builds the model, the inputs and whatever the contender prepares, gives freed memory back, has the system
forget the high-water mark so far, then calls twice: once to warm up, once more. The high-water mark of resident memory
behind that, less what was resident before, is what stands in the table. So it counts what the first call sets up and
loads (the plain forward pass has that as well) and what stays alive from one call to the next. What the second call
needs beside what the first has left is told too.

Linux tells the mark as VmHWM, which is ``ru_maxrss`` without what a parent had before it started the process; where the
mark can't be reset, or there is no such file, ``ru_maxrss`` itself is taken, and the figure is a bound from above: the
mark may be one that building the model has set. glibc's allocator is as everybody has it: it keeps some of what is
freed, alike for all contenders. Threads are torch's own number of them, the same in each process.
"""

import argparse
import ctypes
import gc
import json
import re
import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from bench.contenders import Cell, contender
from bench.networks import named
from bench.report import ROOT

MIB = 1 << 20
_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass(frozen=True)
class Peak:
    """Bytes that were resident before the calls, and how many more there were at most.

    Attributes
    ----------
    before, above
        In bytes.
    exact
        Whether the calls set the mark for certain; otherwise ``above`` is a bound from above.
    again
        How many more the second call needs at most than were resident behind the first: without what is loaded or kept
        once and for all. None where the mark can't be reset.
    """

    before: int
    above: int
    exact: bool = True
    again: int | None = None


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.peak_memory", description=__doc__)
    parser.add_argument("--network", required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--contender", required=True)
    options = parser.parse_args()
    cell = Cell(named(options.network), options.batch)
    # the same class of all samples: to ask the model for its own would be a call before the first one
    job = cell.job(torch.zeros(cell.batch, dtype=torch.long))
    peak = of_two_calls(contender(options.contender, job, cell.network.sigma))
    print(json.dumps({**asdict(peak), "threads": torch.get_num_threads()}))


def measure(cell: Cell, name: str) -> Peak:
    """Start a process for a contender, and return what it says.

    Raises
    ------
    CalledProcessError
        If it fails; what it printed is on standard error.
    """
    command = [sys.executable, "-m", "bench.peak_memory", "--network", cell.network.name, "--batch", str(cell.batch)]
    done = subprocess.run([*command, "--contender", name], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    return Peak(found["before"], found["above"], found["exact"], found["again"])


def of_two_calls(call: Callable[[], object]) -> Peak:
    """Call twice in this process."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc has it, musl and macOS have not
    if trim is not None:
        trim(0)
    exact = _forget_mark()
    before, mark = _resident(), _high_water()
    call()
    first, between = _high_water(), _resident()
    exact_again = _forget_mark()
    call()
    second = _high_water()
    after = max(first, second)
    return Peak(before, after - before, exact or after > mark, second - between if exact_again else None)


def _forget_mark() -> bool:
    """Set the high-water mark to what is resident now; False where the system has no way to."""
    try:
        _CLEAR.write_text("5")
    except OSError:
        return False
    return True


def _high_water() -> int:
    found = _status("VmHWM")
    if found is not None:
        return found
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else largest * 1024


def _resident() -> int:
    """What is resident now; where the system doesn't tell, the most that ever was."""
    found = _status("VmRSS")
    return _high_water() if found is None else found


def _status(field: str) -> int | None:
    try:
        found = re.search(rf"^{field}:\s+(\d+) kB$", _STATUS.read_text(), re.MULTILINE)
    except OSError:
        return None
    return None if found is None else int(found[1]) * 1024


if __name__ == "__main__":
    main()
