"""What ``camfast scan`` says in its files, and of several tomograms."""

import hashlib
import json

import mrcfile
import numpy as np
import pytest
import torch
import zarr

from camfast import Explainer, __version__, models, provenance, read_provenance
from camfast.provenance import model_hash


def test_an_mrc_file_says_how_it_came_about(camfast, command, weights, tmp_path):
    assert camfast(*command("--quiet", target="ring")).code == 0
    with mrcfile.open(tmp_path / "cam.mrc") as file:
        labels = [label.decode().strip() for label in file.header.label[: int(file.header.nlabl)]]
    found = hashlib.sha256(weights.read_bytes()).hexdigest()[:12]
    assert labels[0] == f"camfast {__version__}"
    about = read_provenance(tmp_path / "cam.mrc")
    expected = {"target": 2, "label": "ring",
                "options": {"relu": False, "upsample": "linear"}, "blend": "center", "normalize": "volume",
                "invert": False, "masked": False, "model_class": "Sequential", "model": "cnn2",
                "weights": f"small.safetensors sha256:{found}",
                "model_sha256": model_hash(models.load("cnn2", weights).module)}  # fmt: skip
    assert {name: about.get(name) for name in expected} == expected
    assert (about["camfast"], about["torch"]) == (__version__, str(torch.__version__))


def test_a_zarr_of_several_targets_names_its_channels(camfast, command, weights, tmp_path):
    assert camfast(*command("--quiet", target="ring,ball", out=tmp_path / "cam.zarr")).code == 0
    group = zarr.open_group(tmp_path / "cam.zarr", mode="r")
    assert [channel["label"] for channel in group.attrs["ome"]["omero"]["channels"]] == ["ring", "ball"]
    about = group.attrs["camfast"]
    assert (about["labels"], about["model"], about["version"]) == (["ring", "ball"], "cnn2", __version__)
    assert about == read_provenance(tmp_path / "cam.zarr")
    explainer = Explainer(models.load("cnn2", weights).module, "maxpool2", "respond")
    expected = provenance(explainer, [2, 0])
    assert {name: about.get(name) for name in expected} == expected


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"target": 99}, "99"),
        ({"target": "all"}, "an MRC file holds one volume"),
        ({"stride": 4}, "stride of 4"),
        ({"mask": "none.mrc"}, "none.mrc: no such file"),
        ({"method": "respond", "layer": "fc1"}, "fc1"),
    ],
)
def test_a_dry_run_refuses_what_the_scan_refuses(refused, command, changes, says):
    assert says in refused(*command(**changes))
    assert says in refused(*command("--dry-run", **changes))


def test_a_dry_run_says_what_it_did_not_look_at(camfast, command):
    assert "the values of the tomograms were not looked at" in camfast(*command("--dry-run")).out


def test_a_tomogram_is_never_the_output(refused, command, tomogram):
    assert "is a tomogram that is scanned" in refused(*command("--overwrite", "--dry-run", out=tomogram))


def test_unknown_braces_in_the_output_are_refused(refused, command, tmp_path):
    assert "{nme} stands for nothing; only {name}" in refused(*command(out=tmp_path / "{nme}.mrc"))


def test_a_bad_tomogram_among_several_says_what_is_done_and_left(camfast, command, tomogram, tmp_path):
    bad, last = tmp_path / "bad.mrc", tmp_path / "last.mrc"
    for path in (bad, last):
        path.write_bytes(tomogram.read_bytes())
    with mrcfile.open(bad, "r+") as file:
        file.data[0, 0, 0] = np.nan
    (tmp_path / "cams").mkdir()
    pattern = tmp_path / "cams" / "{name}.mrc"
    ran = camfast(*command("--quiet", tomograms=(tomogram, bad, last), out=pattern))
    assert ran.code == 2
    done = tmp_path / "cams" / "tomo.mrc"
    assert "bad.mrc: voxel (z, y, x) = (0, 0, 0) is nan" in ran.err
    assert f"(written: {done}; left: {bad}, {last}; go on with --resume)" in ran.err
    assert list((tmp_path / "cams").iterdir()) == [done]


def test_one_image_is_not_sent_round_in_circles(refused, command, tmp_path):
    with mrcfile.new(tmp_path / "two.mrc") as file:
        file.set_data(np.zeros((20, 30), np.float32))
    line = refused(*command(tomograms=(tmp_path / "two.mrc",)))
    assert "one image of 20 × 30 pixels" in line
    assert "camfast explain takes a single image as PNG or TIFF" in line


def test_what_the_network_prints_is_no_result(camfast, command, tmp_path):
    (tmp_path / "net.py").write_text(
        "from torch import nn\n"
        "class Net(nn.Sequential):\n"
        "    def forward(self, x):\n"
        "        print('hello')\n"
        "        return super().forward(x)\n"
        "def make():\n"
        "    return Net(nn.Conv3d(1, 2, 3, padding=1), nn.AvgPool3d(8), nn.Flatten(), nn.Linear(16, 3))\n"
    )
    ran = camfast(*command("--json", model=f"{tmp_path / 'net.py'}:make", weights=None, layer="1"))
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["target"] == 2
    assert "hello" in ran.err


def test_picks_are_of_the_tomogram_that_relion_knows(camfast, command, tomogram, tmp_path):
    (tmp_path / "tomograms").mkdir()
    tomogram.rename(tmp_path / "tomograms" / "rec_TS_01.mrc")
    listed = tmp_path / "tomograms.star"
    listed.write_text(
        "data_global\nloop_\n_rlnTomoName #1\n_rlnTomoReconstructedTomogram #2\nTS_01 tomograms/rec_TS_01.mrc\n"
    )
    more = ("--quiet", "--also", "picks", "--pick-by", "map")
    assert camfast(*command(*more, tomograms=(listed,))).code == 0
    rows = [line.split() for line in (tmp_path / "cam.picks.star").read_text().splitlines() if "/" in line]
    assert rows
    assert {row[0] for row in rows} == {"TS_01"}
    assert rows[0][1] == "TS_01/1"
    assert json.loads((tmp_path / "cam.picks.json").read_text())["run_name"] == "TS_01"


def test_what_a_kill_left_beside_a_finished_output_goes(camfast, command, tmp_path):
    """Killed when the map was in its place, and the folder of unfinished work not yet removed, or not wholly."""
    assert camfast(*command("--quiet")).code == 0
    for more, code in (((), 2), (("--resume",), 0)):
        part = tmp_path / ".cam.mrc.partial" / "parts" / "0000003.safetensors"
        part.parent.mkdir(parents=True)
        part.write_bytes(b"large")
        assert camfast(*command("--quiet", *more)).code == code
        assert not list(tmp_path.glob(".cam*"))
