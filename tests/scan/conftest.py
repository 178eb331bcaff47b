"""A small 3-D network whose layer has cells of 4 voxels, and scans with it that can be interrupted."""

import pytest
import torch
from torch import nn

import camfast
from camfast.scan import Volume, write_volumes
from camfast.scan.windows.exact import Exact
from tests.scan.cases import SHAPE, STRIDE, WINDOW, Stop, contents, cut_small, density, small_network


@pytest.fixture(scope="session")
def network() -> nn.Module:
    return small_network()


@pytest.fixture
def explainer(network: nn.Module) -> camfast.Explainer:
    return camfast.Explainer(network, "5", "respond")


@pytest.fixture
def tomogram(tmp_path):
    path = tmp_path / "tomo.mrc"
    write_volumes(path, [density(SHAPE)], Volume(density(SHAPE), (10.0, 10.0, 10.0)))
    return path


@pytest.fixture
def scanning(tomogram, explainer, tmp_path, monkeypatch):
    """A scan in many pieces; what it writes, by name."""
    cut_small(monkeypatch.setattr)

    def run(**changes):
        options = {"window": WINDOW, "stride": STRIDE, "target": 2, "batch": 2, "out": tmp_path / "cam.mrc",
                   "progress": False, **changes}  # fmt: skip
        source, own = options.pop("volume", tomogram), options.pop("explainer", explainer)
        camfast.scan(source, own, **options)
        return {name: content for name, content in contents(tmp_path).items() if name.startswith("cam.")}

    return run


@pytest.fixture
def interrupted(scanning, monkeypatch):
    """Run the scan, but let something happen in front of one of its passes: by itself it stops."""

    def stop():
        raise Stop

    def run(at=4, do=stop, **changes):
        explain, calls = Exact.explain, []

        def counted(self, *arguments):
            calls.append(torch.get_num_threads())
            if len(calls) == at:
                do()
            return explain(self, *arguments)

        monkeypatch.setattr(Exact, "explain", counted)
        with pytest.raises((Stop, OSError, KeyboardInterrupt, camfast.InputError)) as ended:
            scanning(**changes)
        monkeypatch.setattr(Exact, "explain", explain)
        assert len(calls) >= at
        return ended.value

    return run


@pytest.fixture
def passes(monkeypatch):
    """Threads and number of windows of each pass from now on."""
    explain, seen = Exact.explain, []

    def counted(self, values, origins, *more):
        seen.append((torch.get_num_threads(), len(origins)))
        return explain(self, values, origins, *more)

    monkeypatch.setattr(Exact, "explain", counted)
    return seen
