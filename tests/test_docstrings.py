"""Every example of a docstring runs and prints what it says."""

import doctest
import importlib
import pkgutil

import pytest
import torch

import camfast

_SKIPPED = {"camfast.kernels", "camfast.__main__", "camfast._C"}
MODULES = sorted(
    module.name for module in pkgutil.walk_packages(camfast.__path__, "camfast.") if module.name not in _SKIPPED
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name: str) -> None:
    module = importlib.import_module(name)
    globs = {**vars(module), "camfast": camfast, "torch": torch}
    finder, runner = doctest.DocTestFinder(exclude_empty=True), doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    for test in finder.find(module, name, globs=globs):
        result = runner.run(test)
        assert result.failed == 0, f"{test.name} fails: run python -m doctest to see it"


def test_there_are_examples() -> None:
    finder = doctest.DocTestFinder(exclude_empty=True)
    count = sum(len(test.examples) for name in MODULES for test in finder.find(importlib.import_module(name), name))
    assert count >= 20
