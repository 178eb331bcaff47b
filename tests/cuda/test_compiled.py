"""The map kernels as nvcc compiles them: no register spilled to memory, 16 bytes a load where rows are packed."""

import re
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = Path(sysconfig.get_path("purelib")) / "triton" / "backends" / "nvidia" / "bin"
SOURCES = ("product_sum", "weighted_sum", "channel_weights", "held_cam", "chunked_cam")


def _tool(name: str) -> str:
    found = shutil.which(name) or shutil.which(TOOLS / name)
    if found is None:
        pytest.skip(f"no {name}: it comes with CUDA, and with Triton's package")
    return found


def _kernels(cubin: Path) -> dict[str, list[str]]:
    """The instructions of each kernel, by its mangled name."""
    text = subprocess.run([_tool("cuobjdump"), "-sass", str(cubin)], capture_output=True, text=True, check=True).stdout
    name, kernels = "", {}
    for line in text.splitlines():
        if match := re.match(r"\s*Function : (\S+)", line):
            name = match[1]
            kernels[name] = []
        elif match := re.match(r"\s*/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+ )?([A-Z][\w.]+)", line):
            kernels[name].append(match[1])
    return kernels


@pytest.mark.parametrize("architecture", ["sm_80", "sm_90"])
@pytest.mark.parametrize("source", SOURCES)
def test_nothing_spills_and_packets_are_one_load(source: str, architecture: str, tmp_path: Path) -> None:
    if shutil.which("nvcc") is None:
        pytest.skip("no nvcc: the kernels are compiled where CUDA's compiler is")
    cubin = tmp_path / f"{source}.cubin"
    done = subprocess.run(
        ["nvcc", "-std=c++17", f"-arch={architecture}", "-cubin", "-Xptxas", "-v", f"-I{ROOT / 'csrc'}",
         f"-I{ROOT / 'csrc' / 'include'}", "-o", str(cubin), str(ROOT / "csrc" / "cuda" / f"{source}.cu")],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    spills = [int(number) for number in re.findall(r"(\d+) bytes spill", done.stderr)]
    assert spills
    kernels = _kernels(cubin)
    packed = {name: code for name, code in kernels.items() if "PackedAccess" in name}
    assert len(packed) >= 8
    for name, code in packed.items():
        loads = [instruction for instruction in code if instruction.startswith("LDG.E.128")]
        assert len(loads) >= 4, name
        assert not [instruction for instruction in code if instruction.startswith(("LDL", "STL"))], name
    assert max(spills) == 0, f"{max(spills)} bytes of registers spilled to memory"
