"""``camfast scan``: outputs, and one line for whatever a person got wrong."""

import json
import signal

import mrcfile
import numpy as np
import pytest
import torch
import zarr

import camfast as package
from camfast import models
from camfast.scan import read_volume, to_file
from camfast.scan.scanner import scan
from camfast.scan.windows.exact import Exact


def expected(tomogram, weights, target=2, **options):
    loaded = models.load("cnn2", weights)
    explainer = package.Explainer(loaded.module, "maxpool2", "respond")
    return scan(tomogram, explainer, window=16, stride=8, target=target, progress=False, **options).cam.numpy()


def test_writes_the_map_of_the_library(camfast, command, tomogram, weights, tmp_path):
    ran = camfast(*command())
    assert ran.code == 0
    assert ran.out.startswith(f"{tmp_path / 'cam.mrc'}: 20 × 24 × 28, 10 Å, 12 windows, ")
    assert "100%" in ran.err
    assert mrcfile.validate(tmp_path / "cam.mrc")
    volume = read_volume(tmp_path / "cam.mrc")
    np.testing.assert_array_equal(volume.data, expected(tomogram, weights))
    assert volume.voxel_angstrom == (10.0, 10.0, 10.0)


@pytest.mark.parametrize(
    ("flags", "options"),
    [
        (["--blend", "max"], {"blend": "max"}),
        (["--invert"], {"invert": True}),
        (["--normalize", "none"], {"normalize": None}),
        (["--batch", "5"], {"batch": 5}),
    ],
)
def test_flags_are_the_librarys_options(camfast, command, tomogram, weights, tmp_path, flags, options):
    assert camfast(*command("--quiet", *flags)).code == 0
    np.testing.assert_array_equal(read_volume(tmp_path / "cam.mrc").data, expected(tomogram, weights, **options))


def test_sigma_asks_for_gaussians(camfast, command, tomogram, weights, tmp_path):
    assert camfast(*command("--quiet", "--upsample", "gaussian", "--sigma", "4,5,6")).code == 0
    loaded = models.load("cnn2", weights)
    explainer = package.Explainer(loaded.module, "maxpool2", "respond", upsample="gaussian", sigma=(4.0, 5.0, 6.0))
    cam = scan(tomogram, explainer, window=16, stride=8, target=2, progress=False).cam
    np.testing.assert_array_equal(read_volume(tmp_path / "cam.mrc").data, cam.numpy())


@pytest.mark.parametrize(
    ("text", "target"), [("ring", 2), ("0,ring", [0, 2]), ("all", "all"), ("predicted", "predicted")]
)
def test_targets(camfast, command, tomogram, weights, tmp_path, text, target):
    out = tmp_path / "cam.zarr"
    assert camfast(*command("--quiet", target=text, out=out)).code == 0
    np.testing.assert_array_equal(zarr.open_group(out, mode="r")["0"][...], expected(tomogram, weights, target))


def test_json_is_one_object_and_nothing_else(camfast, command, tmp_path):
    ran = camfast(*command("--json"))
    facts = json.loads(ran.out)
    assert ran.err == ""
    (one,) = facts["scans"]
    assert (one["out"], one["shape"], one["windows"]) == (str(tmp_path / "cam.mrc"), [20, 24, 28], 12)
    assert one["voxels_per_second"] * one["seconds"] == pytest.approx(20 * 24 * 28, rel=0.2)


def test_quiet_prints_nothing(camfast, command):
    ran = camfast(*command("--quiet"))
    assert (ran.code, ran.out, ran.err) == (0, "", "")


def test_a_dry_run_computes_and_writes_nothing(camfast, command, tmp_path):
    before = sorted(tmp_path.iterdir())
    ran = camfast(*command("--dry-run", "--batch", "8"))
    assert ran.code == 0
    assert "12 windows in 2 passes of 8; " in ran.out
    assert " TFLOP; reads 53,760 bytes, writes 53,760 bytes per map" in ran.out
    assert sorted(tmp_path.iterdir()) == before
    assert "12 windows in 1 pass of 32; " in camfast(*command("--dry-run", "--batch", "32")).out


def test_several_tomograms_get_outputs_by_name(camfast, command, tomogram, tmp_path):
    second = tmp_path / "other.rec"
    second.write_bytes(tomogram.read_bytes())
    (tmp_path / "cams").mkdir()
    ran = camfast(*command("--quiet", tomograms=(tomogram, second), out=tmp_path / "cams" / "{name}_cam.mrc"))
    assert ran.code == 0
    assert sorted(p.name for p in (tmp_path / "cams").iterdir()) == ["other_cam.mrc", "tomo_cam.mrc"]


def test_several_tomograms_need_several_names(refused, command, tomogram, tmp_path):
    second = tmp_path / "other.mrc"
    second.write_bytes(tomogram.read_bytes())
    assert "write -o 'FOLDER/{name}.zarr'" in refused(*command(tomograms=(tomogram, second)))


def test_apix_replaces_the_header(camfast, command, tmp_path):
    assert camfast(*command("--quiet", apix=9.5)).code == 0
    assert read_volume(tmp_path / "cam.mrc").voxel_angstrom == (9.5, 9.5, 9.5)


@pytest.mark.parametrize(
    ("header", "changes", "says"),
    [
        (0.0, {}, ["tomo.mrc", "gives no voxel size", "--apix"]),
        (1.0, {}, ["gives no voxel size", "expects 10 Å", "--apix"]),
        (13.0, {}, ["voxel size 13 Å", "expects 10 Å"]),
        (10.0, {"model_apix": 20}, ["voxel size 10 Å", "expects 20 Å", "--model-apix"]),
        (10.0, {"apix": 20}, ["voxel size 20 Å", "expects 10 Å"]),
        (10.0, {"apix": -1}, ["--apix is -1"]),
    ],
)
def test_voxel_sizes_that_do_not_fit(refused, command, tomogram, header, changes, says):
    with mrcfile.open(tomogram, "r+") as file:
        file.voxel_size = header
    line = refused(*command(**changes))
    assert all(part in line for part in says), line


def test_an_unknown_voxel_size_is_no_matter_without_one_of_the_model(camfast, command, tomogram, tmp_path):
    state = models.cnn2(classes=4, width=2, hidden=8, side=16).state_dict()
    torch.save(state, tmp_path / "plain.pt")
    with mrcfile.open(tomogram, "r+") as file:
        file.voxel_size = 0.0
    assert camfast(*command("--quiet", weights=tmp_path / "plain.pt")).code == 0
    assert read_volume(tmp_path / "cam.mrc").voxel_angstrom is None


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"layer": "maxpool3"}, ["maxpool3", "maxpool2"]),
        ({"target": 4}, ["4"]),
        ({"target": "rings"}, ["--target 'rings'", "did you mean ring"]),
        ({"target": "cat"}, ["--target 'cat'", "4 labels"]),
        ({"method": "grad-cam"}, ["grad-cam", "gradcam"]),
        ({"method": "extended"}, ["sigma"]),
        ({"window": 32}, ["window of 32", "larger than the volume"]),
        ({"window": 8}, ["window"]),
        ({"window": "16,16"}, ["--window"]),
        ({"window": "big"}, ["--window"]),
        ({"stride": 4}, ["stride of 4", "choose 8"]),
        ({"stride": 24}, ["stride of 24", "larger than the window"]),
        ({"model": "cnn3"}, ["cnn3", "cnn2"]),
        ({"model": None}, ["--model"]),
        ({"weights": "none.safetensors"}, ["none.safetensors"]),
        ({"device": "cuda:7"}, ["--device cuda:7"]),
        ({"device": "tpu9"}, ["--device tpu9"]),
        ({"blend": "median"}, ["--blend"]),
        ({"trunk": "shared", "normalize": "window"}, ["trunk='shared'", "normalize='window'"]),
        ({"also": "scores,heat"}, ["--also", "'heat'", "picks"]),
        ({"batch": 0}, ["batch is 0"]),
        ({"mask": "none.mrc"}, ["none.mrc: no such file"]),
        ({"labels": "none.txt"}, ["none.txt"]),
        ({"out": "cam.tif"}, ["cam.tif", ".mrc or .zarr"]),
        ({"out": "/proc/cam.mrc"}, ["/proc/cam.mrc", "cannot write"]),
        ({"target": "all"}, ["cam.mrc", "write to .zarr"]),
        ({"max_memory": "4XB"}, ["max_memory is '4XB'", "4G"]),
        ({"max_memory": "10M"}, ["max_memory is 10M", "give at least"]),
    ],
)
def test_what_a_person_got_wrong_is_one_line(refused, command, changes, says):
    line = refused(*command(**changes))
    assert all(part in line for part in says), line


def test_no_arguments(refused):
    assert "TOMO" in refused("scan")
    assert "COMMAND" in refused()


def test_nan_names_the_first_voxel(refused, command, tomogram):
    with mrcfile.open(tomogram, "r+") as file:
        file.data[3, 4, 5] = np.nan
    line = refused(*command())
    assert "tomo.mrc: voxel (z, y, x) = (3, 4, 5) is nan" in line


def test_a_truncated_tomogram(refused, command, tomogram):
    tomogram.write_bytes(tomogram.read_bytes()[:5000])
    assert "tomo.mrc: truncated" in refused(*command())


def test_a_missing_folder_and_an_existing_output(refused, command, tmp_path):
    assert "does not exist" in refused(*command(out=tmp_path / "none" / "cam.mrc"))
    (tmp_path / "cam.mrc").write_bytes(b"precious")
    assert "--overwrite" in refused(*command())
    assert (tmp_path / "cam.mrc").read_bytes() == b"precious"


def test_overwrite(camfast, command, tmp_path):
    (tmp_path / "cam.mrc").write_bytes(b"old")
    assert camfast(*command("--quiet", "--overwrite")).code == 0
    assert read_volume(tmp_path / "cam.mrc").shape == (20, 24, 28)


def test_a_pickled_module_is_refused_without_running_it(refused, command, tmp_path):
    torch.save(models.cnn2(classes=4, width=2, hidden=8, side=16), tmp_path / "model.pt")
    line = refused(*command(weights=tmp_path / "model.pt"))
    assert "model.pt" in line
    assert "state" in line


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_no_output(camfast, command, tmp_path, monkeypatch, number):
    calls = []

    def interrupted(self, values, origins, explain=Exact.explain):
        calls.append(len(origins))
        if len(calls) == 2:
            signal.raise_signal(number)
        return explain(self, values, origins)

    monkeypatch.setattr(Exact, "explain", interrupted)
    before, handler = sorted(tmp_path.iterdir()), signal.getsignal(number)
    ran = camfast(*command("--quiet", "--batch", "8"))
    assert (ran.code, ran.err) == (130, "camfast: interrupted; no partial output was left\n")
    assert calls == [8, 8]
    assert sorted(tmp_path.iterdir()) == before
    assert signal.getsignal(number) is handler


def test_a_failure_of_the_program_is_exit_1_and_shows_more_with_debug(camfast, command, monkeypatch, tmp_path):
    def broken(*_, **__):
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(to_file, "to_file", broken)
    ran = camfast(*command("--quiet"))
    assert (ran.code, ran.err) == (1, "camfast: failed: ZeroDivisionError: division by zero (--debug shows where)\n")
    ran = camfast(*command("--quiet", "--debug"))
    assert ran.code == 1
    assert "Traceback" in ran.err


@pytest.mark.realdata
def test_a_real_tomogram_through_the_published_network(camfast, command, data_dir, tmp_path):
    torch.manual_seed(0)
    models.save_weights(tmp_path / "cnn2.safetensors", models.cnn2(classes=23), arguments={"classes": 23})
    ran = camfast(
        *command(
            "--quiet",
            tomograms=[data_dir / "tomograms/microtubule_14pf.mrc"],
            weights=tmp_path / "cnn2.safetensors",
            window=40,
            stride=24,
        )
    )
    assert (ran.code, ran.err) == (0, "")
    assert mrcfile.validate(tmp_path / "cam.mrc")
    with mrcfile.open(tmp_path / "cam.mrc") as file:
        assert file.data.shape == (44, 136, 84)
        assert file.voxel_size.item() == pytest.approx((10.52, 10.52, 10.52), rel=1e-6)
        assert np.isfinite(file.data).all()
        assert file.data.std() > 0


def test_a_network_of_nan_is_refused(refused, command, tmp_path):
    shape = {"classes": 4, "width": 2, "hidden": 8, "side": 16}
    module = models.cnn2(**shape)
    with torch.no_grad():
        next(iter(module.parameters())).fill_(torch.nan)
    models.save_weights(tmp_path / "nan.safetensors", module, arguments=shape)
    line = refused(*command(weights=tmp_path / "nan.safetensors"))
    assert "a window of noise: the network's scores are not finite" in line


def test_no_picks_are_said_with_what_to_look_at(camfast, command):
    said = {}
    for target in (0, 1, 2):
        ran = camfast(*command("--also", "picks", "--overwrite", target=target))
        said["tomo.mrc: no picks; " in ran.err, ", 0 picks" in ran.out] = target
    assert set(said) == {(True, True), (False, False)}
    ran = camfast(*command("--also", "picks", "--overwrite", target=said[True, True]))
    assert "--pick-by map goes by the map alone" in ran.err
