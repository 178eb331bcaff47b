"""What a measurement is kept with, and how it is shown: the machine, JSON, Markdown, and the block in the README."""

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

import camfast
from camfast.ops import native

ROOT = Path(__file__).resolve().parents[1]
README = Path(__file__).parent / "README.md"


@dataclass(frozen=True)
class Circumstances:
    """Where, when and with what something was measured."""

    date: str
    cpu: str
    cores: int
    threads: int
    load: float
    isa: str
    python: str
    torch: str
    camfast: str
    commit: str

    @classmethod
    def now(cls) -> "Circumstances":
        return cls(
            date=now(),
            cpu=_cpu(),
            cores=os.cpu_count() or 1,
            threads=torch.get_num_threads(),
            load=round(os.getloadavg()[0], 1),
            isa=native.instruction_set(),
            python=platform.python_version(),
            torch=torch.__version__,
            camfast=camfast.__version__,
            commit=commit(),
        )

    def __str__(self) -> str:
        return (
            f"{self.date}, commit {self.commit}; {self.cpu}, {self.cores} cores, {self.threads} threads, kernels for "
            f"{self.isa}; load {self.load} at the start; Python {self.python}, torch {self.torch}"
        )


@dataclass(frozen=True)
class Report:
    """A table with where it comes from.

    Attributes
    ----------
    name
        The block of the README that it belongs in.
    command
        What prints it.
    columns, rows
        Of the table, as text.
    measurements
        What the JSON file holds beside.
    summary
        A sentence below the table.
    """

    name: str
    command: str
    circumstances: Circumstances
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    measurements: list[dict[str, Any]] = field(default_factory=list)
    summary: str = ""

    def markdown(self) -> str:
        """The table under the line that says where it was measured."""
        shown = f"`{self.command}`: {self.circumstances}\n\n{table(self.columns, self.rows)}"
        return f"{shown}\n\n{self.summary}" if self.summary else shown

    def write_json(self, path: Path) -> None:
        content = {**asdict(self), "columns": None, "rows": None}
        path.write_text(json.dumps({k: v for k, v in content.items() if v is not None}, indent=1) + "\n", "utf-8")

    def write_into(self, path: Path = README) -> None:
        """Replace what stands between the block's markers."""
        path.write_text(replace_block(path.read_text("utf-8"), self.name, self.markdown()), "utf-8")


def now() -> str:
    """Date and time for people."""
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table: words to the left, numbers to the right."""
    numeric = [all(row[i][:1].isdigit() for row in rows) for i in range(len(columns))]
    lines = [columns, ["---:" if right else "---" for right in numeric], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def replace_block(text: str, name: str, content: str) -> str:
    """Put content between ``<!-- name -->`` and ``<!-- /name -->``."""
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise ValueError(f"expected one line {begin} and one {end} behind it")
    before, rest = text.split(begin)
    return f"{before}{begin}\n{content}\n{end}{rest.split(end)[1]}"


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())


def commit() -> str:
    """The commit that is measured, from git, or from CAMFAST_COMMIT where the sources came without their history."""

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no", "--", "camfast", "csrc", "kernels")
        return git("rev-parse", "--short", "HEAD") + (" with changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return os.environ.get("CAMFAST_COMMIT", "unknown")
