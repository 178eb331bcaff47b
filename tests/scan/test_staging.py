"""What an interrupted scan leaves: who may go on with it, and what is said to whom it does not belong."""

import re
from contextlib import suppress

import numpy as np
import pytest
import torch
from torch import nn

import camfast
from camfast import _interrupt
from camfast.scan.tasks.staging import Staging
from tests.scan.cases import SHAPE, Stop, contents, density, small_network


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


def test_ctrl_c_says_what_is_kept(interrupted, tmp_path):
    def press():
        raise KeyboardInterrupt

    said = str(interrupted(at=12, do=press))
    assert re.fullmatch(
        rf"\d+ of \d+ bricks of windows are kept in {tmp_path}/.cam.mrc.partial, and the same scan goes on there", said
    )
    assert Staging(tmp_path / "cam.mrc").folder.exists()


def test_an_interrupt_that_became_another_error_is_one(interrupted, monkeypatch):
    """Code in C that meets an exception may raise one of its own instead."""
    monkeypatch.setattr(_interrupt, "_came", [])

    def press():
        try:
            _interrupt.interrupt(2, None)
        except KeyboardInterrupt:
            raise OSError("could not determine the shape") from None

    assert "bricks of windows are kept" in str(interrupted(at=12, do=press))


def test_an_interrupt_that_was_lost_is_found_before_more_is_kept(interrupted, monkeypatch):
    monkeypatch.setattr(_interrupt, "_came", [])

    def press():
        with suppress(KeyboardInterrupt):
            _interrupt.interrupt(2, None)

    ended = interrupted(at=12, do=press)
    assert isinstance(ended, KeyboardInterrupt)
    assert "bricks of windows are kept" in str(ended)
