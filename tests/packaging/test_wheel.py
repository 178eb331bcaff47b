"""Wheel and source distribution on a newcomer's machine: an environment with nothing, and no compiler on PATH."""

import json
import os
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.packaging.building import ROOT, copy_tracked, environment, run
from tests.packaging.test_contents import check_contents, check_extension

pytestmark = [pytest.mark.wheel, pytest.mark.timeout(1800)]
PROGRAM = Path(__file__).parent / "user_program.py"


@dataclass(frozen=True)
class Environment:
    """A virtual environment of its own, in which only its own programs are on PATH, or the system's as well."""

    folder: Path
    compiler: bool = False

    @property
    def binaries(self) -> Path:
        return self.folder / "environment" / "bin"

    def run(self, program: str, *arguments: str | Path, code: int = 0) -> str:
        """What a program of the environment prints, and says on standard error."""
        path = os.pathsep.join([str(self.binaries), *([os.environ["PATH"]] if self.compiler else [])])
        variables = environment(path, self.folder) | {"CAMFAST_CUDA": "0"}
        command = [str(self.binaries / program), *map(str, arguments)]
        done = run(command, self.folder, variables, code)
        return done.stdout + done.stderr

    def install(self, distribution: Path) -> None:
        """Install it with the extras of the demo, at the versions that are tested."""
        wanted = f"{distribution}[scan,plot]"
        # nothing is compiled to bytecode but what is imported: that is most of the time of installing torch
        self.run("python", "-m", "pip", "install", "-q", "--no-compile", "-c", ROOT / "constraints.txt", wanted)


def _fresh(folder: Path, *, compiler: bool = False) -> Environment:
    run([sys.executable, "-m", "venv", str(folder / "environment")], folder, environment(os.environ["PATH"], folder))
    return Environment(folder, compiler)


@dataclass(frozen=True)
class Distributions:
    source: Path
    wheel: Path


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Distributions:
    """As a release makes them: the wheel from the source distribution, each in an isolated environment."""
    folder = tmp_path_factory.mktemp("built")
    variables = environment(os.environ["PATH"], folder) | {"CAMFAST_CUDA": "0"}
    run([sys.executable, "-m", "build", "--outdir", str(folder), str(copy_tracked(folder))], folder, variables)
    (source,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return Distributions(source, wheel)


@pytest.fixture(scope="module")
def installed(distributions: Distributions, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with the wheel."""
    empty = _fresh(tmp_path_factory.mktemp("newcomer"))
    empty.install(distributions.wheel)
    return empty


def _demonstrate(place: Environment) -> None:
    place.run("camfast", "demo", "--out", place.folder / "demo", "--quiet")
    assert (place.folder / "demo" / "index.html").stat().st_size > 1000


def test_the_wheel_is_whole(distributions: Distributions, tmp_path: Path) -> None:
    with zipfile.ZipFile(distributions.wheel) as wheel:
        check_contents(wheel)
        check_extension(wheel, tmp_path)
    with tarfile.open(distributions.source) as archive:
        assert not [name for name in archive.getnames() if name.endswith(".so")]


def test_nothing_that_compiles_is_on_the_newcomers_path(installed: Environment) -> None:
    code = (
        "import shutil; print(*filter(shutil.which, ('cc', 'c++', 'gcc', 'g++', 'clang++', 'cmake', 'ninja', 'make')))"
    )
    assert installed.run("python", "-c", code).strip() == ""
    assert installed.run("python", "-m", "pip", "check").strip() == "No broken requirements found."


def test_camfast_is_the_installed_one_and_native(installed: Environment) -> None:
    code = "import camfast, camfast.ops.native as n; print(camfast.__file__, n.instruction_set())"
    path, instructions = installed.run("python", "-c", code).split()
    assert Path(path).is_relative_to(installed.folder)
    assert instructions != "None"
    told = json.loads(installed.run("camfast", "info", "--json"))
    assert "error" not in told


def test_the_demo_runs(installed: Environment) -> None:
    _demonstrate(installed)


def test_a_users_program_runs(installed: Environment) -> None:
    assert "did you mean" in installed.run("python", PROGRAM)


def test_a_users_program_has_types(installed: Environment, tmp_path: Path) -> None:
    interpreter = installed.binaries / "python"
    options = ["--config-file=", "--strict", "--python-executable", str(interpreter)]
    wrong = tmp_path / "wrong.py"
    wrong.write_text('import camfast\nheat: int = camfast.cam(1, 2, layer="x")\n')
    variables = environment(os.environ["PATH"], tmp_path)
    run([sys.executable, "-m", "mypy", *options, str(PROGRAM)], tmp_path, variables)
    found = run([sys.executable, "-m", "mypy", *options, str(wrong)], tmp_path, variables, code=1)
    assert 'variable has type "int"' in found.stdout


def test_the_sources_say_that_a_compiler_is_missing(distributions: Distributions, tmp_path: Path) -> None:
    empty = _fresh(tmp_path)
    said = empty.run("python", "-m", "pip", "wheel", "-w", tmp_path, "--no-deps", distributions.source, code=1)
    assert "camfast needs a C++17 compiler, and none of c++, g++, clang++ is on PATH" in said
    assert "apt-get install g++" in said


@pytest.mark.slow
def test_the_sources_install_where_a_compiler_is(distributions: Distributions, tmp_path: Path) -> None:
    place = _fresh(tmp_path, compiler=True)
    place.install(distributions.source)
    assert Path(place.run("python", "-c", "import camfast; print(camfast.__file__)").strip()).is_relative_to(tmp_path)
    _demonstrate(place)
