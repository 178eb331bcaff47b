"""Puts what was measured on GPUs into bench/README.md: ``python -m bench.gpu_page``.

Every target has a line, also where no GPU was there to measure it.
"""

import json
import sys
from pathlib import Path

from bench import compare_gpu, gpu_targets
from bench.report import README, replace_block, table
from bench.roofline import RESULTS

BLOCK = "gpu"
_COMMAND = "make gpu-check"


def page(folder: Path) -> str:
    """The block: each result's circumstances and tables, or the targets alone where there is none."""
    paths = sorted(folder.glob("*.json"))
    if not paths:
        return f"No GPU has measured these yet: `{_COMMAND}` on a machine with one will.\n\n" + table(
            gpu_targets.COLUMNS, list(gpu_targets.judge({}))
        )
    return "\n\n".join(_measured(json.loads(path.read_text("utf-8"))) for path in paths)


def _measured(result: dict[str, object]) -> str:
    bandwidths = result["bandwidths GB/s"]
    assert isinstance(bandwidths, dict)
    where = ", ".join(
        f"{name} {result[name]}" for name in ("driver", "cuda", "torch", "triton", "python", "camfast", "commit")
    )
    rates = ", ".join(f"{name} {rate} GB/s" for name, rate in bandwidths.items())
    parts = [
        f"### {result['gpu']}",
        f"`{_COMMAND}`: {result['date']}; {where}. Bandwidth in the same run: {rates}.",
        table(gpu_targets.COLUMNS, result["targets"]),  # type: ignore[arg-type]
        table(result["columns"], result["rows"]),  # type: ignore[arg-type]
    ]
    notes = [*result["dispatch to be changed"], *result["errors"]]  # type: ignore[misc]
    if notes:
        parts.append("\n".join(f"- {note}" for note in notes))
    return "\n\n".join(parts)


def main() -> None:
    shown = page(RESULTS)
    compared = compare_gpu.page()
    text = replace_block(README.read_text("utf-8"), BLOCK, shown)
    README.write_text(replace_block(text, "compare gpu", compared), "utf-8")
    sys.stdout.write(f"{shown}\n\n{compared}\n")


if __name__ == "__main__":
    main()
