"""Code blocks of a page, run as a reader would run them: from top to bottom, in a folder with the files they speak of.

``python`` blocks of a page share their names; ``sh`` blocks run in a shell that stops at the first error. A block that
can't run here is preceded by ``<!--- skip: next "the reason" -->``; what the reader need not see, by
``<!--- invisible-code-block: python``. Blocks of ``text`` and of data formats are not code. C++ and CMake are shown
from files that `make cpp-package` builds, by ``--8<--`` alone.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

from sybil import Document, Example
from sybil.evaluators.python import PythonEvaluator
from sybil.parsers.markdown import CodeBlockParser, SkipParser

ROOT = Path(__file__).resolve().parents[2]
MIGRATING = ROOT / "docs" / "migrating"
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *(ROOT / folder / "README.md" for folder in ("bench", "studies")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
RUN = {"python", "sh"}
SHOWN = {"text", "json", "toml", "yaml", "csv", "ini"}
FROM_FILES = {"cpp", "cmake"}


def _run_shell(example: Example) -> None:
    binaries = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}", "OMP_NUM_THREADS": "2"}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", str(example.parsed)],
        env=environment,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=300,
    )
    where = f"{Path(example.path).name}, line {example.line}"
    assert done.returncode == 0, f"{where} exits with {done.returncode}:\n{done.stdout}{done.stderr}"


def page(path: Path) -> Document:
    """The page with all that runs of it."""
    return Document.parse(
        str(path),
        CodeBlockParser(language="python", evaluator=PythonEvaluator()),
        CodeBlockParser(language="sh", evaluator=_run_shell),
        SkipParser(),
    )


def fences(text: str) -> list[tuple[str, str]]:
    """Language and content of each fenced block."""
    found = re.findall(r"^( *)```([^\n`]*)\n(.*?)^\1```", text, re.MULTILINE | re.DOTALL)
    return [(language.split()[0] if language.strip() else "", content) for _, language, content in found]
