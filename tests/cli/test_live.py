"""``camfast live``: frames in, a page and sinks out, a clean end, and one line for whatever a person got wrong."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import numpy as np
import pytest
import tifffile

SIM = ("live", "--source", "sim:32x32x32@50", "--model", "subtomogram_demo")
# with Ctrl-C as at a terminal, also where whoever runs the tests ignores it
COMMAND = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from camfast.cli import main
sys.exit(main())
"""
OF_PICTURES = """from torch import nn

from camfast.models import Loaded, Preprocess


def build():
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(64, 3))
    return Loaded(network, Preprocess(size=20, channels="L"), ("cell", "debris", "empty"), "1")
"""


@pytest.fixture
def pictures(tmp_path):
    """A model of pictures in a file of one's own."""
    path = tmp_path / "pictures.py"
    path.write_text(OF_PICTURES)
    return f"{path}:build"


def test_a_while_of_a_camera(camfast):
    ran = camfast(*SIM, "--serve", "none", "--for", "1.5")
    assert ran.code == 0
    found = re.fullmatch(
        r"sim:32x32x32@50: (\d+) frames, (\d+) shown, (\d+) dropped; ms .*: p50 .*, p99 \d+\n", ran.out
    )
    assert found, ran.out
    arrived, shown, dropped = map(int, found.groups())
    assert arrived == shown + dropped
    assert shown > 0
    assert ran.err == "camfast: sim:32x32x32@50: running\n"


def test_json_says_the_same(camfast, pictures):
    ran = camfast("live", "--source", "sim:40x30@50", "--model", pictures, "--serve", "none", "--for", "1", "--json",
                  "--quiet", "--target", "debris", "--alpha", "0.3", "--levels", "0,4000")  # fmt: skip
    assert (ran.code, ran.err) == (0, "")
    facts = json.loads(ran.out)
    assert facts["arrived"] == facts["shown"] + facts["dropped"] + facts["failed"]
    assert (facts["frame_shape"], facts["dtype"], facts["page"]) == ([40, 30], "uint16", None)


def test_a_folder_is_recorded(camfast, pictures, tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    tifffile.imwrite(folder / "a.tif", np.full((25, 20), 77, np.uint16))
    out = tmp_path / "run.zarr"
    ran = camfast("live", "--source", f"watch:{folder}/*.tif", "--model", pictures, "--serve", "none", "--for", "1.5",
                  "--sink", f"zarr:{out}")  # fmt: skip
    assert ran.code == 0, ran.err
    assert ran.out.endswith(f"; zarr:{out}: 1 recorded\n")
    import zarr

    recorded = zarr.open_group(out, mode="r")["0000/frame"]
    assert recorded.shape[-2:] == (25, 20)
    assert np.array_equal(np.unique(recorded[:]), [77])


def test_a_folder_by_a_relative_name(camfast, pictures, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run1").mkdir()
    tifffile.imwrite(tmp_path / "run1" / "a.tif", np.full((25, 20), 77, np.uint16))
    ran = camfast("live", "--source", "watch:run1/*.tif", "--model", pictures, "--serve", "none", "--for", "1")
    assert (ran.code, ran.out[:37]) == (0, "watch:run1/*.tif: 1 frames, 1 shown, "), ran.err


def test_a_grey_network_of_ones_own_needs_no_flag(camfast, tmp_path):
    (tmp_path / "own.py").write_text(OF_PICTURES.replace('Preprocess(size=20, channels="L")', "None"))
    ran = camfast("live", "--source", "sim:40x30@50", "--model", f"{tmp_path}/own.py:build", "--serve", "none",
                  "--for", "1", "--quiet", "--json")  # fmt: skip
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["failed"] == 0


def test_a_folder_that_never_came_is_bad_input(camfast, pictures, tmp_path):
    ran = camfast(
        "live", "--source", f"watch:{tmp_path}/run9/*.tif", "--model", pictures, "--serve", "none", "--for", "1"
    )
    assert ran.code == 2
    assert ran.err.splitlines()[-1].startswith(
        f"camfast: error: watch:{tmp_path}/run9/*.tif: {tmp_path}/run9: there is no"
    )


def test_a_film_ends_by_itself(camfast, pictures, tmp_path):
    av = pytest.importorskip("av")
    path = tmp_path / "film.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=50)
        stream.width, stream.height, stream.pix_fmt = 32, 24, "gray"
        for level in range(10):
            frame = av.VideoFrame.from_ndarray(np.full((24, 32), 20 * level, np.uint8), format="gray")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    ran = camfast("live", "--source", f"video:{path}", "--model", pictures, "--serve", "none", "--json")
    assert ran.code == 0, ran.err
    facts = json.loads(ran.out)
    assert (facts["state"], facts["arrived"]) == ("ended", 10)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_within_two_seconds_with_a_summary(number):
    taken = []
    while len(taken) < 3 and not (taken and min(taken) < 2.0):  # a busy machine may need longer, once
        taken.append(_interrupted(number))
    assert min(taken) < 2.0


def test_an_interrupt_has_its_json():
    command = [sys.executable, "-c", COMMAND, *SIM, "--serve", "none", "--json"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as ran:
        assert ran.stderr is not None
        assert "running" in ran.stderr.readline()
        time.sleep(0.5)
        ran.send_signal(signal.SIGINT)
        time.sleep(0.02)
        ran.send_signal(signal.SIGINT)  # who is impatient still gets the summary
        out, err = ran.communicate(timeout=20)
    assert ran.returncode == 130
    facts = json.loads(out)
    assert facts["arrived"] >= facts["shown"] + facts["dropped"] + facts["failed"]
    assert "camfast: interrupted; sim:32x32x32@50: " in err


def _interrupted(number):
    """How long the command takes to end when it is interrupted, in seconds."""
    command = [sys.executable, "-c", COMMAND, *SIM, "--serve", "127.0.0.1:0"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as ran:
        assert ran.stderr is not None
        address = re.search(r"open (\S+) in a browser", ran.stderr.readline())
        assert address
        assert b"camfast" in urllib.request.urlopen(address[1], timeout=10).read()
        assert "running" in ran.stderr.readline()
        time.sleep(1.0)
        began = time.monotonic()
        ran.send_signal(number)
        out, err = ran.communicate(timeout=20)
        taken = time.monotonic() - began
    assert ran.returncode == 130
    assert out == ""
    assert re.fullmatch(r"camfast: interrupted; sim:32x32x32@50: \d+ frames, \d+ shown, \d+ dropped.*\n", err), err
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(address[1], timeout=1)
    return taken


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--source", "camera:0"), "'camera:0' is no source; there are sim:1024x1024@30"),
        (("--source", "sim:0x32@5"), "sim:0x32@5"),
        (("--sink", "tape:x"), "'tape:x' is no sink"),
        (("--serve", "8765"), "--serve 8765: expected HOST:PORT"),
        (("--serve", "0.0.0.0:0"), "--token"),
        (("--target", "all"), "a live overlay shows one class"),
        (("--target", "unicorn"), "neither a class index nor a label"),
        (("--alpha", "1.5"), "alpha must be a number from 0 to 1, found 1.5"),
        (("--colormap", "rainbow"), "colormap must be one of gray, hot, jet"),
        (("--levels", "5,5"), "expected black,white"),
        (("--for", "0"), "expected seconds, more than 0"),
        (("--layer", "nowhere"), "the model has no such layer"),
    ],
)
def test_what_is_refused(refused, arguments, message):
    assert message in refused(*SIM, "--serve", "none", "--for", "1", *arguments)


def test_a_port_that_is_taken_is_said(refused):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"127.0.0.1:{port}" in refused(*SIM, "--serve", f"127.0.0.1:{port}", "--for", "1")


def test_frames_that_the_network_cannot_take_are_bad_input(camfast):
    ran = camfast("live", "--source", "sim:64x64@30", "--model", "subtomogram_demo", "--serve", "none", "--for", "1")
    assert ran.code == 2
    assert "no frame could be explained" in ran.err.splitlines()[-1]
    assert "inputs of float32 (1, 1, 64, 64)" in ran.err.splitlines()[-1]
