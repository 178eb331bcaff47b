"""What an interrupted scan leaves: who may go on with it, and what is said to whom it does not belong."""

import errno
import fcntl
import os
import re
import shutil
import socket
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import nn

import camfast
from camfast.scan import Volume, write_volumes
from camfast.scan.tasks.staging import Staging
from camfast.scan.windows.exact import Exact
from tests.scan.cases import STRIDE, WINDOW, contents, cut_small, density, small_network

SHAPE = (20, 16, 24)


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


class Stop(Exception):  # noqa: N818 - it is no error
    pass


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
        with pytest.raises((Stop, OSError, KeyboardInterrupt)) as ended:
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


def test_goes_on_where_it_was(scanning, interrupted, passes, tmp_path):
    expected = scanning(out=tmp_path / "cam.mrc")
    every = len(passes)
    (tmp_path / "cam.mrc").unlink()
    passes.clear()
    assert isinstance(interrupted(at=every - 1), Stop)
    passes.clear()
    assert scanning() == expected
    assert 0 < len(passes) < every / 2


def weights(scale):
    network = small_network()
    with torch.no_grad():
        network[0].weight.mul_(scale)
    return camfast.Explainer(network, "5", "respond")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"stride": (4, 4, 8)}, r"stride was \[8, 4, 8\] and is \[4, 4, 8\]"),
        ({"target": 3}, "target was 2 and is 3"),
        ({"blend": "mean"}, "blend was 'center' and is 'mean'"),
        ({"trunk": "shared"}, "trunk was 'exact' and is 'shared'"),
        ({"normalize": None}, "normalize was 'volume' and is None"),
        ({"invert": True}, "invert was False and is True"),
        ({"batch": 3}, "batch was 2 and is 3"),
        ({"dtype": "float16"}, "dtype was 'float32' and is 'float16'"),
        ({"also": ["scores"]}, r"also was \[\] and is \['scores'\]"),
        ({"mask": np.eye(SHAPE[1])[None, :, :1] * np.ones(SHAPE)}, "mask was None and is"),
        ({"labels": ["a", "b"]}, r"labels was None and is \['a', 'b'\]"),
        ({"about": {"model": "new"}}, "about.model was None and is 'new'"),
        ({"volume": density(SHAPE)}, r"volume.path was '.* and is None"),
        ({"explainer": weights(1.001)}, "model_sha256 was '"),
        ({"explainer": camfast.Explainer(small_network(), "5", "gradcam")}, "method was 'respond' and is 'gradcam'"),
        ({"explainer": camfast.Explainer(small_network(), "5", upsample="gaussian", sigma=4)}, "upsample was"),
    ],
)
def test_another_scan_is_refused_by_what_differs(scanning, interrupted, tmp_path, change, says):
    interrupted()
    before = contents(tmp_path)
    with pytest.raises(camfast.InputError, match=says) as found:
        scanning(**change)
    assert re.search(r"\.cam\.mrc\.partial holds what is left of another scan .* with --overwrite", str(found.value))
    assert contents(tmp_path) == before
    scanning()


def test_another_window_is_refused(scanning, interrupted):
    any_size = nn.Sequential(*small_network()[:6], nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(6, 3)).eval()
    own = {"explainer": camfast.Explainer(any_size, "5", "respond")}
    interrupted(**own)
    with pytest.raises(camfast.InputError, match=r"window was \[12, 8, 8\] and is \[8, 8, 8\]"):
        scanning(window=(8, 8, 8), **own)


def test_a_tomogram_that_was_replaced_is_noticed(scanning, interrupted, tomogram, tmp_path):
    interrupted()
    os.utime(tomogram, ns=(0, 10**18))
    with pytest.raises(camfast.InputError, match=r"volume.changed was \d+ and is 1000000000000000000\b"):
        scanning()
    write_volumes(tomogram, [density((20, 16, 32))], Volume(density((20, 16, 32)), (10.0, 10.0, 10.0)))
    with pytest.raises(camfast.InputError, match=r"volume.shape was \[20, 16, 24\] and is \[20, 16, 32\]"):
        scanning()


def test_an_array_that_was_changed_is_noticed(scanning, interrupted):
    values = density(SHAPE)
    interrupted(volume=values)
    values[3, 4, 5] += 1
    with pytest.raises(camfast.InputError, match=r"volume.sha256 was"):
        scanning(volume=values)
    values[3, 4, 5] = density(SHAPE)[3, 4, 5]
    scanning(volume=values)


@pytest.mark.parametrize("anew", [{"overwrite": True}, {"resume": False}])
def test_another_scan_may_begin_anew(scanning, interrupted, passes, tmp_path, anew):
    expected = scanning(target=3)
    (tmp_path / "cam.mrc").unlink()
    interrupted(at=10, target=2)
    passes.clear()
    assert scanning(target=3, **anew) == expected
    assert not list(tmp_path.glob(".*"))


def test_what_is_left_of_the_same_scan_is_dropped_where_it_is_not_to_be_resumed(
    scanning, interrupted, passes, tmp_path
):
    expected = scanning()
    every = len(passes)
    (tmp_path / "cam.mrc").unlink()
    interrupted(at=10)
    passes.clear()
    assert scanning(resume=False) == expected
    assert len(passes) == every


def test_threads_and_sizes_are_those_of_the_beginning(scanning, interrupted, passes, tmp_path):
    expected = scanning(batch="auto", max_memory="20G")
    (tmp_path / "cam.mrc").unlink()
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        interrupted(batch="auto", max_memory="20G")
        torch.set_num_threads(3)
        passes.clear()
        found = scanning(batch="auto", max_memory="4G")
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert {threads for threads, _ in passes} == {2}
    assert found.keys() == expected.keys()
    np.testing.assert_allclose(
        *(np.frombuffer(one["cam.mrc"][1024:], "<f4") for one in (found, expected)), rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("name", ["cam.mrc", "cam.zarr"])
def test_a_second_process_is_refused(scanning, monkeypatch, tmp_path, name):
    entered, leave, explain = threading.Event(), threading.Event(), Exact.explain

    def held(self, *arguments):
        entered.set()
        assert leave.wait(60)
        return explain(self, *arguments)

    monkeypatch.setattr(Exact, "explain", held)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(scanning, out=tmp_path / name)
        assert entered.wait(60)
        for change in ({}, {"overwrite": True}, {"resume": False}):
            says = f"{name}: process {os.getpid()} on {re.escape(socket.gethostname())} is scanning into it; wait"
            with pytest.raises(camfast.InputError, match=says):
                scanning(out=tmp_path / name, **change)
        leave.set()
        assert any(one.startswith(name) for one in first.result())
    assert not list(tmp_path.glob(".*"))


def test_where_a_file_system_has_no_locks_it_runs_all_the_same(scanning, monkeypatch):
    def none(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    expected = scanning()
    monkeypatch.setattr(fcntl, "flock", none)
    assert scanning(overwrite=True) == expected


def test_a_damaged_part_is_named_and_computed_again_once_removed(scanning, interrupted, tmp_path):
    expected = scanning()
    (tmp_path / "cam.mrc").unlink()
    interrupted(at=8)
    part = min((tmp_path / ".cam.mrc.partial" / "parts").iterdir())
    whole = part.read_bytes()
    for damaged in (b"", whole[:7], whole[: len(whole) // 2], b"\xff" * len(whole)):
        part.write_bytes(damaged)
        with pytest.raises(camfast.InputError, match=rf"{part.name}: what was kept of a scan is damaged .*; remove it"):
            scanning()
    part.unlink()
    assert scanning() == expected


def test_what_is_left_of_nothing_is_no_matter(scanning, tmp_path):
    expected = scanning()
    folder = tmp_path / ".cam.mrc.partial"
    for left in (
        {},
        {"lock": ""},
        {"job.json": "{"},
        {"job.json": "[]"},
        {"parts/1.safetensors": "x", "done/cam.mrc": "x"},
    ):
        (tmp_path / "cam.mrc").unlink()
        for name, text in left.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        folder.mkdir(exist_ok=True)
        assert scanning() == expected
        assert not folder.exists()


def test_a_folder_that_a_killed_scan_left_beside_its_output_goes(scanning, interrupted, tmp_path):
    """Killed when the output was in its place, and the folder not yet removed, or not wholly."""
    expected = scanning()
    folder = tmp_path / ".cam.mrc.partial"
    for names in (["job.json", "parts", "blocks", "done"], ["parts"], ["job.json"], []):
        folder.mkdir()
        for name in names:
            (folder / name).write_text('{"identity": {}, "choices": {}}') if "." in name else (folder / name).mkdir()
        with pytest.raises(camfast.InputError, match=r"cam.mrc exists already"):
            scanning()
        assert not folder.exists()
        assert contents(tmp_path).items() >= expected.items()


def test_an_output_that_was_taken_away_before_the_folder_went_is_made_again(scanning, interrupted, tmp_path):
    expected = scanning()
    (tmp_path / "cam.mrc").unlink()
    interrupted()
    (tmp_path / ".cam.mrc.partial" / "done" / "cam.mrc").unlink()
    assert scanning() == expected


@pytest.mark.parametrize("what", ["", "done", "parts", "blocks"])
@pytest.mark.parametrize("name", ["cam.mrc", "cam.zarr"])
def test_a_folder_that_is_deleted_while_it_is_written_to(scanning, interrupted, tmp_path, name, what):
    expected = scanning(out=tmp_path / name)
    for path in tmp_path.glob("cam*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    def delete():
        gone = tmp_path / "gone"  # at once, and not file by file while others come and go
        (tmp_path / f".{name}.partial" / what).rename(gone)
        shutil.rmtree(gone)

    error = interrupted(at=4, do=delete, out=tmp_path / name)
    assert isinstance(error, OSError)
    assert name in str(error)
    assert not list(tmp_path.glob("cam*"))
    assert scanning(out=tmp_path / name) == expected


def test_a_folder_that_cannot_be_written_to(scanning, tmp_path):
    folder = tmp_path / "read-only"
    folder.mkdir(mode=0o555)
    root = os.geteuid() == 0  # who may write everywhere but on a disk that cannot be written
    if (
        root
        and subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", folder], capture_output=True, check=False
        ).returncode
    ):
        pytest.skip("root may write to every folder, and may mount no disk here")
    try:
        with pytest.raises(
            camfast.InputError, match=r"cam.mrc: cannot write in the folder .*read-only.*somewhere else"
        ):
            scanning(out=folder / "cam.mrc")
    finally:
        if root:
            subprocess.run(["umount", folder], check=True)


def test_what_is_read_is_never_replaced(scanning, tmp_path, tomogram):
    path = tmp_path / "cam.scores.zarr"
    write_volumes(path, [density(SHAPE)], Volume(density(SHAPE), (10.0, 10.0, 10.0)))
    before = contents(path)
    for change in ({"volume": path}, {"mask": path}):
        with pytest.raises(camfast.InputError, match=r"cam.scores.zarr is the (volume that is scanned|mask); write"):
            scanning(also=["scores"], overwrite=True, **change)
    with pytest.raises(camfast.InputError, match=r"cam.scores.zarr is the mask; write"):
        scanning(out=path, mask=path, overwrite=True)
    assert contents(path) == before


def test_ctrl_c_says_what_is_kept(interrupted, tmp_path):
    def press():
        raise KeyboardInterrupt

    said = str(interrupted(at=12, do=press))
    assert re.fullmatch(
        rf"\d+ of \d+ bricks of windows are kept in {tmp_path}/.cam.mrc.partial, and the same scan goes on there", said
    )
    assert Staging(tmp_path / "cam.mrc").folder.exists()
