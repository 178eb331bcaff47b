"""Every example of a docstring runs and prints what it says."""

import doctest
import importlib
import inspect
import pkgutil

import pytest
import torch

import camfast

_SKIPPED = {"camfast.kernels", "camfast.__main__", "camfast._C"}
MODULES = sorted(
    module.name for module in pkgutil.walk_packages(camfast.__path__, "camfast.") if module.name not in _SKIPPED
)


PACKAGES = [
    "camfast",
    *(f"camfast.{name}" for name in ("metrics", "models", "ops", "perturbation", "plot", "scan", "simulate")),
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name: str) -> None:
    module = importlib.import_module(name)
    globs = {**vars(module), "camfast": camfast, "torch": torch}
    finder, runner = doctest.DocTestFinder(exclude_empty=True), doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    for test in finder.find(module, name, globs=globs):
        result = runner.run(test)
        assert result.failed == 0, f"{test.name} fails: run python -m doctest to see it"


@pytest.mark.parametrize("package", PACKAGES)
def test_public_functions_have_an_example(package: str) -> None:
    module = importlib.import_module(package)
    functions = [getattr(module, name) for name in module.__all__ if inspect.isfunction(getattr(module, name))]
    assert functions
    assert [function.__name__ for function in functions if ">>>" not in (inspect.getdoc(function) or "")] == []


def test_there_are_examples() -> None:
    finder = doctest.DocTestFinder(exclude_empty=True)
    count = sum(len(test.examples) for name in MODULES for test in finder.find(importlib.import_module(name), name))
    assert count >= 20
