"""What nvcc makes of a CUDA source: registers and spills by kernel, and the instructions."""

import hashlib
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ROOT / "csrc"
BUILD = ROOT / "build" / "sass"
NVCC = shutil.which("nvcc")
ARCHITECTURES = ("sm_80", "sm_90")


class Kernel(NamedTuple):
    """A compiled kernel: its name with the arguments of its template, and what it takes."""

    name: str
    registers: int
    stack_bytes: int
    spilled_bytes: int
    instructions: list[str]


@cache
def kernels(source: str, architecture: str) -> list[Kernel]:
    """Compile ``csrc/cuda/<source>`` for an architecture, unless that was done for the same text."""
    cubin, report = _compile(source, architecture)
    usage = {}
    for name, stack, stores, loads, registers in re.findall(
        r"Function properties for (\S+)\n\s+(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads"
        r"\n.*?Used (\d+) registers",
        report.read_text(),
    ):
        usage[name] = int(registers), int(stack), int(stores) + int(loads)
    listing = subprocess.run([_disassembler(), "-sass", str(cubin)], capture_output=True, text=True, check=True).stdout
    found = []
    for part in listing.split("Function : ")[1:]:
        name, _, body = part.partition("\n")
        instructions = re.findall(r"/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\d+\s+)?([A-Z][\w.]*)", body)
        found.append(Kernel(_demangled(name.strip()), *usage[name.strip()], instructions))
    return found


def _compile(source: str, architecture: str) -> tuple[Path, Path]:
    assert NVCC is not None
    headers = sorted(path for path in SOURCES.rglob("*") if path.suffix in {".h", ".cuh"})
    texts = [SOURCES / "cuda" / source, *headers]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in texts)).hexdigest()[:16]
    cubin = BUILD / f"{Path(source).stem}-{architecture}-{digest}.cubin"
    report = cubin.with_suffix(".txt")
    if not report.exists():
        BUILD.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            [NVCC, "-std=c++17", "-O3", f"-arch={architecture}", "-Xptxas", "-v", "-I", str(SOURCES),
             "-I", str(SOURCES / "include"), "-cubin", "-o", str(cubin), str(SOURCES / "cuda" / source)],
            capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-4000:]
        report.write_text(done.stderr)
    return cubin, report


@cache
def _disassembler() -> str:
    found = shutil.which("cuobjdump")
    if found is None:
        import triton.backends.nvidia

        found = str(Path(triton.backends.nvidia.__file__).parent / "bin" / "cuobjdump")
    return found


@cache
def _demangled(name: str) -> str:
    tool = shutil.which("c++filt")
    if tool is None:
        return name
    return subprocess.run([tool, name], capture_output=True, text=True, check=True).stdout.strip()
