"""The order of the house: imports go one way, importing is light, public names are documented, files fit a head."""

import ast
import importlib
import inspect
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import camfast

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "camfast"

# What stands further down may import from what stands further up, never the other way round.
ORDER = (
    {"errors", "_interrupt", "_later", "_pictures", "_text", "_version", "_whole"},
    {"_extras", "_foreign"},
    {"_C", "_C_cuda", "kernels"},
    {"ops"},
    {"checks", "head_chain", "inputs", "layers", "progress", "structures"},
    {"guards", "grids", "recorder", "gradients", "methods", "components", "upsample", "regions"},
    {"targets", "linear_head"},
    {"mapping"},
    {"capture", "passes", "explanation", "head_map", "receptive_field", "centres", "split"},
    {"calibration", "frozen"},
    {"depths", "engine"},
    {"backprop", "baselines", "cam", "export", "provenance", "scoring", "sweep"},
    {"metrics", "perturbation", "saving"},
    {"plot"},
    {"scan"},
    {"live"},
    {"cli"},
    {"__main__"},
)
# Networks and simulations are of use without the rest, and the rest without them, but for those who take a person's
# pictures to a network (`Preprocess`).
ASIDE = {"models", "simulate"}
WITHIN_OPS = (
    {"forms"},
    {"bands", "counters", "operands", "preference", "threads"},
    {"checks", "reference", "native"},
    {"cuda", "triton", "colormaps"},
    {"dispatch", "plans", "backward"},
    {"registry"},
    {
        "channel_weights",
        "weighted_sum",
        "product_sum",
        "linear_upsample",
        "gaussian_upsample",
        "overlay",
        "running_max",
        "window_sum",
    },
    {"fused_cam"},
)
OPTIONAL = {
    "triton", "matplotlib", "zarr", "scipy", "PIL", "skimage", "mrcfile", "tifffile", "nibabel", "ome_zarr_models",
    "jinja2", "lmfit", "dask", "dask_jobqueue", "distributed", "onnx", "onnxscript", "onnxruntime", "gemmi",
    "napari", "npe2", "starlette", "uvicorn", "websockets", "zmq", "av", "watchfiles", "pymmcore_plus",
}  # fmt: skip
LONGEST = 300
PUBLIC = [
    "camfast",
    "camfast.ops",
    "camfast.metrics",
    "camfast.models",
    "camfast.perturbation",
    "camfast.simulate",
    "camfast.scan",
    "camfast.live",
    "camfast.plot",
]


def _sources() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if PACKAGE / "kernels" not in path.parents)


def _imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute"
            module = node.module or ""
            folder = PACKAGE.parent.joinpath(*module.split("."))
            for alias in node.names:
                is_module = (folder / alias.name).is_dir() or (folder / f"{alias.name}.py").is_file()
                yield node.lineno, f"{module}.{alias.name}" if is_module else module


def _rank(order: tuple[set[str], ...], name: str) -> int:
    ranks = [rank for rank, names in enumerate(order) if name in names]
    assert len(ranks) == 1, f"{name} has no place in the order of the house: give it one in this test"
    return ranks[0]


def _upward(path: Path) -> Iterator[str]:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    own = parts[0]
    for line, name in _imports(path):
        package, _, rest = name.partition(".")
        target, _, inner = rest.partition(".")
        place = f"{path.relative_to(ROOT)}:{line} imports {name}"
        if package == "kernels":
            yield f"{place}: they are camfast.kernels"
        elif package != "camfast" or own == "__init__":
            continue
        elif not target:
            if own != "cli":  # a thin shell over the public names
                yield f"{place}: name the module of camfast that is meant"
        elif target == own:
            if own == "ops" and parts[1] != "__init__" and _rank(WITHIN_OPS, inner) >= _rank(WITHIN_OPS, parts[1]):
                yield place
        elif own in ASIDE:
            if target not in {"errors", "_extras", "_foreign", "_text", "_whole"}:
                yield place
        elif target in ASIDE:
            if _rank(ORDER, own) < _rank(ORDER, "live"):
                yield place
        elif _rank(ORDER, target) >= _rank(ORDER, own):
            yield place


@pytest.mark.parametrize("path", _sources(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_one_way(path: Path) -> None:
    assert list(_upward(path)) == []


def test_an_import_upward_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path = tmp_path / "camfast"
    monkeypatch.setitem(globals(), "PACKAGE", tmp_path)
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    for name in ("engine.py", "layers.py", "ops/forms.py", "ops/checks.py", "models/x.py", "scan/x.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    for name, source, seen in (
        ("layers.py", "def f():\n    from camfast.engine import Explainer", True),
        ("layers.py", "from camfast import engine", True),
        ("layers.py", "import camfast", True),
        ("layers.py", "from camfast.errors import InputError\nimport torch", False),
        ("layers.py", "import kernels.weighted_sum", True),
        ("ops/forms.py", "from camfast.ops.checks import check_out", True),
        ("ops/checks.py", "from camfast.ops.forms import FORMS", False),
        ("models/x.py", "from camfast.ops import fused_cam", True),
        ("scan/x.py", "from camfast.models import load", True),
        ("scan/x.py", "from camfast.engine import Explainer", False),
    ):
        (tmp_path / name).write_text(source)
        assert bool(list(_upward(tmp_path / name))) is seen, source


def test_kernels_know_torch_and_triton_only() -> None:
    for path in (ROOT / "kernels").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            others = {name.partition(".")[0] for name in names if not name.startswith("camfast.kernels")}
            assert others <= {"torch", "triton", *sys.stdlib_module_names}, path
    assert (ROOT / "kernels").samefile(PACKAGE / "kernels")


def _python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=True)


def test_importing_camfast_is_light() -> None:
    lines = _python("-X", "importtime", "-c", "import camfast").stderr.splitlines()
    imported = {line.rpartition("|")[2].strip() for line in lines}
    assert {"torch", "camfast", "camfast.ops"} <= imported
    assert {name.partition(".")[0] for name in imported} & OPTIONAL == set()
    assert not any(
        name.startswith(("camfast.models", "camfast.simulate", "camfast.cli", "kernels")) for name in imported
    )


def test_no_module_needs_an_optional_package_to_be_imported() -> None:
    code = (
        "import importlib, pkgutil, sys, camfast\n"
        "for module in pkgutil.walk_packages(camfast.__path__, 'camfast.'):\n"
        "    if not module.name.endswith('__main__') and not module.name.startswith('camfast.kernels.'):\n"
        "        importlib.import_module(module.name)\n"
        "print(*sys.modules)"
    )
    imported = _python("-c", code).stdout.split()
    assert "camfast.cli" in imported
    assert {name.partition(".")[0] for name in imported} & (OPTIONAL | {"kernels"}) == set()


def _public(module: ModuleType) -> set[str]:
    """What a package's own ``__init__`` brings in, without what it needs for itself."""
    tree = ast.parse(Path(module.__file__ or "").read_text())
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("camfast"):
            names |= {alias.asname or alias.name for alias in node.names if node.module != "camfast._later"}
    return names


@pytest.mark.parametrize("name", PUBLIC)
def test_all_is_sorted_and_complete(name: str) -> None:
    module = importlib.import_module(name)
    names = module.__all__
    assert names == sorted(names, key=lambda name: (not name.isupper(), not name[0].isupper(), name))
    assert set(names) == _public(module)
    for public in names:
        assert getattr(module, public) is not None


def _undocumented() -> Iterator[str]:
    for package in PUBLIC:
        module = importlib.import_module(package)
        for name in module.__all__:
            thing = getattr(module, name)
            if not inspect.ismodule(thing) and not inspect.isclass(thing) and not callable(thing):
                continue
            if not _documented(thing):
                yield f"{package}.{name}"
            if inspect.isclass(thing):
                for attribute, member in vars(thing).items():
                    own = inspect.isfunction(member) or isinstance(member, property | classmethod | staticmethod)
                    if own and not attribute.startswith("_") and not inspect.getdoc(member):
                        yield f"{package}.{name}.{attribute}"


def _documented(thing: object) -> bool:
    text = inspect.getdoc(thing) or ""
    generated = f"{getattr(thing, '__name__', '')}("  # what dataclasses and named tuples write of themselves
    return bool(text) and not text.startswith(generated)


def test_public_names_have_docstrings() -> None:
    assert list(_undocumented()) == []
    assert camfast.__doc__


def test_lazy_names() -> None:
    assert camfast.models.load is importlib.import_module("camfast.models").load
    with pytest.raises(AttributeError, match="module 'camfast' has no attribute 'modles'"):
        camfast.modles  # noqa: B018


def test_files_fit_a_head() -> None:
    suffixes = {".py", ".h", ".cpp", ".cu", ".cuh"}
    files = [path for folder in ("camfast", "csrc", "kernels") for path in (ROOT / folder).rglob("*")]
    lengths = {path.relative_to(ROOT): len(path.read_text().splitlines()) for path in files if path.suffix in suffixes}
    assert len(lengths) > 60
    assert {str(path): lines for path, lines in lengths.items() if lines > LONGEST} == {}
