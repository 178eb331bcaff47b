"""Where a scan writes: what stands there, what is removed meanwhile, and what is left there by a kill."""

import os
import shutil
import subprocess

import pytest

import camfast
from camfast.scan import Volume, to_file, write_volumes
from camfast.scan.formats.ome_zarr_writer import ZarrWriter
from tests.scan.cases import SHAPE, contents, density


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
    assert isinstance(error, OSError | camfast.InputError)
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


def at_the_end(monkeypatch, do):
    """Do something when everything is written, and nothing moved."""
    check = to_file._check_whole

    def checked(job, side, staging):
        do(staging)
        check(job, side, staging)

    monkeypatch.setattr(to_file, "_check_whole", checked)
    return lambda: monkeypatch.setattr(to_file, "_check_whole", check)


@pytest.mark.parametrize("what", ["0/c/0/0/0", "1/c/0/0/0", "2/zarr.json", "zarr.json"])
def test_a_map_with_a_file_removed_meanwhile_is_not_published(scanning, monkeypatch, tmp_path, what):
    out = tmp_path / "cam.zarr"
    expected = scanning(out=out)
    shutil.rmtree(out)
    undo = at_the_end(monkeypatch, lambda staging: (staging.done / "cam.zarr" / what).unlink())
    with pytest.raises(camfast.InputError, match=r"cam.zarr: files of the unfinished map in .* were removed while"):
        scanning(out=out)
    assert not out.exists()
    undo()
    assert scanning(out=out) == expected


SCORES = ("0/c/0/0/0/0", "1/c/1/0/0/0", "zarr.json", "2/zarr.json")


@pytest.mark.parametrize("what", [*(f"cam.scores.zarr/{one}" for one in SCORES), "cam.picks.star", "cam.report.html"])
def test_what_stands_beside_a_map_is_whole_or_nothing_is_published(scanning, monkeypatch, tmp_path, what):
    also = ["scores", "picks", "report"]
    expected = scanning(also=also)
    for made in tmp_path.glob("cam.*"):
        shutil.rmtree(made) if made.is_dir() else made.unlink()
    undo = at_the_end(monkeypatch, lambda staging: (staging.done / what).unlink())
    with pytest.raises(camfast.InputError, match=r"files of the unfinished map in .* were removed while"):
        scanning(also=also)
    assert not (tmp_path / "cam.mrc").exists()
    undo()
    assert scanning(also=also) == expected


@pytest.mark.parametrize("level", [0, 1])
def test_a_file_that_goes_before_coarser_levels_are_made_of_it(scanning, monkeypatch, tmp_path, level):
    """They would be made of zeros, and what is 0 has no file."""
    expected = scanning(also=["scores"])
    for made in tmp_path.glob("cam.*"):
        shutil.rmtree(made) if made.is_dir() else made.unlink()
    coarsen = ZarrWriter.coarsen

    def removing(self, step, *rest):
        if self.path.name == "cam.scores.zarr" and step == level + 1:
            (self.path / str(level) / "c/0/0/0/0").unlink(missing_ok=True)
        coarsen(self, step, *rest)

    with monkeypatch.context() as patched:
        patched.setattr(ZarrWriter, "coarsen", removing)
        with pytest.raises(camfast.InputError, match=r"cam.scores.zarr: files of it were removed while it was written"):
            scanning(also=["scores"])
    assert not (tmp_path / "cam.mrc").exists()
    assert scanning(also=["scores"]) == expected


def test_an_output_that_somebody_else_wrote_meanwhile_stays(scanning, monkeypatch, tmp_path):
    expected = scanning(also=["scores"])
    for name in ("cam.mrc", "cam.scores.zarr"):
        for made in tmp_path.glob("cam.*"):
            shutil.rmtree(made) if made.is_dir() else made.unlink()
        path = tmp_path / name
        undo = at_the_end(monkeypatch, lambda _, path=path: path.write_text("precious"))
        with pytest.raises(camfast.InputError, match=f"{name} exists already"):
            scanning(also=["scores"])
        undo()
        assert path.read_text() == "precious"
        path.unlink()
        assert scanning(also=["scores"]) == expected
        assert not list(tmp_path.glob(".*"))
