"""Benchmarks of one op at a time by pytest-benchmark; contenders run one after the other, so ratios are bench.ratios'.

Each bench_<op>.py is measured on every size of its op (`bench.cases`), by each contender, and its result checked first.
"""

import warnings
from collections.abc import Callable

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.case import CAMFAST, COMPILED, EAGER, Case, Spec
from bench.cases import build, specs
from bench.timing import keep_freed_memory

Measure = Callable[[], None]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a benchmark on the sizes of the op that it is named after."""
    if "case" in metafunc.fixturenames:
        op = metafunc.function.__name__.removeprefix("bench_")
        metafunc.parametrize("case", specs(op), ids=Spec.key, indirect=True, scope="module")


@pytest.fixture(scope="session", autouse=True)
def _warm_memory() -> None:
    keep_freed_memory()


@pytest.fixture(scope="module")
def case(request: pytest.FixtureRequest) -> Case:
    return build(request.param)


@pytest.fixture(params=[CAMFAST, EAGER, COMPILED])
def measure(request: pytest.FixtureRequest, benchmark: BenchmarkFixture, case: Case) -> Measure:
    """Check a contender's result, then time it."""
    contender: str = request.param

    def run() -> None:
        function = case.contenders(compiled=contender == COMPILED)[contender]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # the compiler's own
            case.verify(contender, function())
        benchmark.group = str(case.spec)
        benchmark(function)

    return run
