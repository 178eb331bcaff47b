"""Tests run on a mutant: in a process forked from one that has imported torch, the changed module in memory alone."""

import gc
import importlib.util
import os
import resource
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, SourceFileLoader
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import CodeType

WARM = (
    "pytest", "hypothesis", "hypothesis.strategies", "pytest_timeout",
    "numpy", "scipy.ndimage", "torch", "torch.func", "torch._dynamo", "torch.testing", "torch.utils.flop_counter",
    "reliability.mutation_mutants", "reliability.mutation_running",
)  # fmt: skip
"""What every test needs and no mutant changes: imported once."""

CPU_LIMIT = 30
"""Seconds of computing after which tests are stopped, ten times what a module's take; a busy machine doesn't matter."""
_LIMIT = 600  # seconds, for what waits and doesn't compute


@dataclass(frozen=True)
class Outcome:
    """What the tests made of a mutant: ``killed``, ``timed out`` or ``survived``, and how long they took."""

    verdict: str
    seconds: float


class Warm:
    """Runs tests in fresh processes, each forked from one that has what takes long to import.

    Parameters
    ----------
    root
        The repository: tests run there, and its modules are those that are imported.
    folder
        Where what the tests print is written; the last run's only.
    preload
        Modules to be imported once.
    """

    def __init__(self, root: Path, folder: Path, preload: Sequence[str] = WARM) -> None:
        self._root, self._printed = root, folder / "printed.txt"
        self._context = get_context("forkserver")
        self._context.set_forkserver_preload(list(preload))

    def run(self, module: str, source: str | None, tests: Sequence[str]) -> Outcome:
        """Run tests until one fails, with a module's source in place of what its file holds; None: as it is.

        A process that dies, of a signal too, has found the mutant, and so has one that is stopped at the limit.
        """
        begin = time.monotonic()
        arguments = (self._root, self._printed, module, source, tuple(tests))
        process = self._context.Process(target=_tests, args=arguments)
        process.start()
        process.join(_LIMIT)
        late = process.exitcode in (None, -signal.SIGXCPU)
        _end(process)
        verdict = "timed out" if late else "killed" if process.exitcode else "survived"
        return Outcome(verdict, time.monotonic() - begin)

    def check(self, tests: Sequence[str]) -> None:
        """Refuse tests that fail where nothing is changed, which would say nothing of a mutant.

        Raises
        ------
        RuntimeError
            If they fail.
        """
        outcome = self.run("", None, tests)
        if outcome.verdict != "survived":
            raise RuntimeError(
                f"tests have to pass before anything is changed; {outcome.verdict}: {' '.join(tests)}\n"
                + self._printed.read_text("utf-8", "replace")[-4000:]
            )


def _end(process: BaseProcess) -> None:
    """Nothing of a run stays, what its tests started neither."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid or 0, signal.SIGKILL)
    process.join()


class _Changed(SourceFileLoader):
    """A module with another source than its file's."""

    def __init__(self, name: str, path: str, source: str) -> None:
        super().__init__(name, path)
        self._source = source

    def get_code(self, fullname: str) -> CodeType:  # noqa: ARG002
        return compile(self._source, self.path, "exec", dont_inherit=True)


class _Finder:
    """Finds the changed module in front of its file."""

    def __init__(self, name: str, path: Path, source: str) -> None:
        self._name, self._path, self._source = name, str(path), source

    def find_spec(self, name: str, *_: object) -> ModuleSpec | None:
        if name != self._name:
            return None
        return importlib.util.spec_from_file_location(name, self._path, loader=_Changed(name, self._path, self._source))


def _tests(root: Path, printed: Path, module: str, source: str | None, tests: tuple[str, ...]) -> None:
    os.setsid()
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_LIMIT, CPU_LIMIT + 1))
    with printed.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.chdir(root)
    sys.path.insert(0, str(root))
    gc.freeze()  # what was imported before is neither looked through nor copied
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # they take longer to load than the tests do
    import hypothesis
    import pytest
    import pytest_timeout

    if source is not None:
        sys.meta_path.insert(0, _Finder(module.removesuffix(".py").replace("/", "."), root / module, source))
    # the same examples for each mutant, and no file of examples
    hypothesis.settings.register_profile("mutants", derandomize=True, database=None, deadline=None)
    hypothesis.settings.load_profile("mutants")
    arguments = ["-x", "-q", "--no-header", "-p", "no:cacheprovider", "--rootdir", str(root), *tests]
    code = pytest.main(arguments, [pytest_timeout])
    sys.stdout.flush()
    os._exit(int(code))
