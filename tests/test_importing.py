"""What importing camfast loads, and that the names which wait for their first use are there all the same."""

import importlib.util
import json
import subprocess
import sys
from typing import Any

import pytest

import camfast
from tests.test_house import PUBLIC

MOST_MILLISECONDS = 300
# What camfast or torch would load for something that most programs don't do.
HEAVY = {
    "matplotlib", "zarr", "triton", "scipy", "skimage", "PIL", "safetensors", "tqdm", "torch._dynamo",
    "torch._inductor", "torch.onnx", "camfast.backprop", "camfast.perturbation", "camfast.metrics", "camfast.plot",
    "camfast.models", "camfast.live", "camfast.simulate", "camfast.cli", "camfast.kernels", "camfast.scan.to_file",
    "camfast.saving", "camfast.sweep", "camfast.grids",
}  # fmt: skip


def _python(code: str) -> Any:
    """What a fresh interpreter prints, as JSON."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_only_what_explains_a_batch_is_loaded() -> None:
    code = (
        "import json, sys, torch\nbefore = set(sys.modules)\nimport camfast\n"
        "print(json.dumps([*set(sys.modules) - before]))"
    )
    loaded = set(_python(code))
    assert {"camfast", "camfast.ops", "camfast.engine"} <= loaded
    assert loaded & HEAVY == set()
    assert len(loaded) < 80  # 131 of camfast alone took three times as long


def test_the_import_is_quick_beside_that_of_torch() -> None:
    code = (
        "import json, time, torch\nstart = time.perf_counter()\nimport camfast\n"
        "print(json.dumps((time.perf_counter() - start) * 1e3))"
    )
    # One of some: other processes on the machine, and what isn't compiled yet, only ever add to it.
    assert any(_python(code) < MOST_MILLISECONDS for _ in range(7))


@pytest.mark.parametrize("package", sorted({*PUBLIC, "camfast.backprop"} - {"camfast", "camfast.scan"}))
def test_a_package_is_there_without_an_import_of_its_own(package: str) -> None:
    assert _python(f"import json, camfast; print(json.dumps({package}.__name__))") == package


def test_every_public_name_is_listed_before_it_is_used() -> None:
    code = (
        "import json, camfast, camfast.scan, sys; print(json.dumps([dir(camfast), dir(sys.modules['camfast.scan'])]))"
    )
    of_camfast, of_scan = _python(code)
    assert set(camfast.__all__) <= set(of_camfast)
    assert set(sys.modules["camfast.scan"].__all__) <= set(of_scan)


@pytest.mark.parametrize("module", ["camfast", "camfast.scan"])
def test_a_name_that_waits_is_found_in_each_way(module: str) -> None:
    waiting = sorted(sys.modules[module]._LATER)
    code = (
        "import importlib, json, sys\n"
        f"names, name = {waiting}, {module!r}\n"
        "importlib.import_module(name)\n"
        "absent = [waits for waits in names if waits not in vars(sys.modules[name])]\n"
        "for waits in names:\n"
        "    exec(f'from {name} import {waits} as found')\n"
        "    assert found is getattr(sys.modules[name], waits) is vars(sys.modules[name])[waits]\n"
        "everything = {}\n"
        "exec(f'from {name} import *', everything)\n"
        "assert everything.keys() >= set(sys.modules[name].__all__)\n"
        "print(json.dumps(absent))"
    )
    absent = _python(code)
    assert absent  # some names do wait
    assert set(absent) <= set(waiting)


def test_no_name_that_waits_is_a_module_too() -> None:
    for module in ("camfast", "camfast.scan"):
        for name in sys.modules[module]._LATER:
            assert importlib.util.find_spec(f"{module}.{name}") is None, f"import {module}.{name} would hide the name"


def test_a_function_with_a_modules_name_stays_the_function() -> None:
    code = (
        "import importlib, json, pkgutil, camfast\n"
        "for found in pkgutil.walk_packages(camfast.__path__, 'camfast.'):\n"
        "    if not found.name.endswith('__main__') and not found.name.startswith('camfast.kernels.'):\n"
        "        importlib.import_module(found.name)\n"
        "names = ('cam', 'capture', 'export', 'head_map', 'methods', 'provenance', 'scan', 'split')\n"
        "print(json.dumps([callable(getattr(camfast, name)) for name in names]))"
    )
    assert all(_python(code))


def test_an_unknown_name_says_whose_it_isnt() -> None:
    with pytest.raises(AttributeError, match=r"module 'camfast' has no attribute 'gradcam'"):
        camfast.gradcam  # type: ignore[attr-defined]  # noqa: B018
    with pytest.raises(ImportError, match=r"cannot import name 'gradcam' from 'camfast'"):
        exec("from camfast import gradcam")
