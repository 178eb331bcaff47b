"""Writes `camfast/ops/preference.py` from what was measured: for each GPU and op the faster of its two backends.

Each ``bench/results/<gpu>.json`` that `bench.roofline` wrote names its GPU in ``gpu``, and in ``preference`` the faster
backend of each op: ``{"gpu": "NVIDIA H200", "preference": {"fused_cam": "triton", ...}, ...}``.
"""

import json
import re
import sys
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
TABLE = Path(__file__).resolve().parents[1] / "camfast" / "ops" / "preference.py"
_MEASURED = re.compile(r"^MEASURED: dict\[str, dict\[str, str\]\] = \{.*?\}$", re.DOTALL | re.MULTILINE)


def collect(folder: Path) -> dict[str, dict[str, str]]:
    """The faster backend by GPU and op, from every result in a folder."""
    measured = {}
    for path in sorted(folder.glob("*.json")):
        result = json.loads(path.read_text())
        measured[str(result["gpu"])] = {str(op): str(backend) for op, backend in sorted(result["preference"].items())}
    return measured


def rewrite(source: str, measured: dict[str, dict[str, str]]) -> str:
    """The source of the table with its entries replaced."""
    rows = [
        f"    {json.dumps(gpu)}: {{\n"
        + "".join(f"        {json.dumps(op)}: {json.dumps(backend)},\n" for op, backend in ops.items())
        + "    },\n"
        for gpu, ops in sorted(measured.items())
    ]
    table = "{\n" + "".join(rows) + "}" if rows else "{}"
    replaced, count = _MEASURED.subn(lambda _: f"MEASURED: dict[str, dict[str, str]] = {table}", source)
    if count != 1:
        raise ValueError(f"{TABLE.name} must assign MEASURED once, found {count} times")
    return replaced


def main() -> None:
    measured = collect(RESULTS)
    TABLE.write_text(rewrite(TABLE.read_text(), measured))
    for gpu, ops in measured.items():
        for op, backend in ops.items():
            print(f"{gpu}: {op} by {backend}")
    if not measured:
        print(f"no results in {RESULTS}: nothing is preferred", file=sys.stderr)


if __name__ == "__main__":
    main()
