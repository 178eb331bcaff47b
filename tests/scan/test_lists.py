"""What a person names: files, patterns, lists of RELION and lists as text."""

from pathlib import Path

import pytest

from camfast.errors import InputError
from camfast.scan.lists import Tomogram, list_tomograms

STAR = """
# version 50001

data_global

loop_
_rlnTomoName #1
_rlnTomoTiltSeriesPixelSize #2
_rlnTomoTomogramBinning #3
_rlnTomoReconstructedTomogramHalf1 #4
_rlnTomoReconstructedTomogram #5
TS_01 2.39 6.000000 Reconstruct/job7/half1/TS_01.mrc Reconstruct/job7/tomograms/rec_TS_01.mrc
TS_02 2.39 4.2 Reconstruct/job7/half1/TS_02.mrc 'Reconstruct/job7/tomograms/rec TS 02.mrc'
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A RELION project with a reconstruction of two tomograms; the current folder is another one."""
    job = tmp_path / "project" / "Reconstruct" / "job7"
    (job / "tomograms").mkdir(parents=True)
    for name in ("rec_TS_01.mrc", "rec TS 02.mrc", "denoised.mrc"):
        (job / "tomograms" / name).touch()
    (job / "tomograms.star").write_text(STAR)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return tmp_path / "project"


def test_one_file_and_several(tmp_path):
    for name in ("TS_1.rec", "b.ome.zarr", "TS_10.v2.MRC.gz"):
        (tmp_path / name).mkdir() if name.endswith("zarr") else (tmp_path / name).touch()
    assert list_tomograms(str(tmp_path / "TS_1.rec")) == [Tomogram(tmp_path / "TS_1.rec", "TS_1")]
    found = list_tomograms([tmp_path / "b.ome.zarr", tmp_path / "TS_10.v2.MRC.gz", str(tmp_path / "TS_1.rec")])
    assert [tomogram.name for tomogram in found] == ["b", "TS_10.v2", "TS_1"]
    assert all(tomogram.voxel_angstrom is None for tomogram in found)


def test_patterns_take_volumes_sorted_and_each_once(tmp_path):
    for name in ("b.mrc", "a.mrc", "notes.txt", "list.star", "deep/er/c.rec", "d.tif", "e[1].mrc"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    paths = [tomogram.path for tomogram in list_tomograms([f"{tmp_path}/b*", f"{tmp_path}/**/*"])]
    assert paths == [tmp_path / name for name in ("b.mrc", "a.mrc", "d.tif", "deep/er/c.rec", "e[1].mrc")]
    assert list_tomograms(tmp_path / "e[1].mrc")[0].name == "e[1]"  # a name before it is a pattern
    with pytest.raises(InputError, match=r"\*.rec: no file matches; .*quotes"):
        list_tomograms(f"{tmp_path}/*.rec")
    with pytest.raises(InputError, match=r"n\*: 1 files match, none with the ending of a volume"):
        list_tomograms(f"{tmp_path}/n*")


def test_a_store_is_a_volume_and_another_folder_is_not(tmp_path):
    (tmp_path / "store").mkdir()
    with pytest.raises(InputError, match=r"store: is a folder; name the volumes in it, as '.*store/\*.mrc'"):
        list_tomograms(tmp_path / "store")
    (tmp_path / "store" / "zarr.json").touch()
    assert list_tomograms(tmp_path / "store") == [Tomogram(tmp_path / "store", "store")]


def test_a_list_of_relion(project):
    job = project / "Reconstruct" / "job7"
    found = list_tomograms(job / "tomograms.star")
    assert [tomogram.path.resolve() for tomogram in found] == [
        job / "tomograms" / "rec_TS_01.mrc",
        job / "tomograms" / "rec TS 02.mrc",
    ]
    assert [(tomogram.name, tomogram.voxel_angstrom) for tomogram in found] == [("TS_01", 14.34), ("TS_02", 10.038)]
    assert list_tomograms(f"{project}/Reconstruct/job*/tomograms.star") == found


def test_the_current_folder_comes_first(project, monkeypatch):
    monkeypatch.chdir(project)
    first, _ = list_tomograms("Reconstruct/job7/tomograms.star")
    assert first.path == Path("Reconstruct/job7/tomograms/rec_TS_01.mrc")


def test_denoised_tomograms_where_they_are_wanted_or_alone(project):
    star = project / "Reconstruct" / "job7" / "tomograms.star"
    both = STAR.replace("_rlnTomoReconstructedTomogramHalf1", "_rlnTomoReconstructedTomogramDenoised").replace(
        "half1/TS_01", "tomograms/denoised"
    )
    star.write_text(both.replace("Reconstruct/job7/half1/TS_02.mrc", '""'))
    assert [t.path.name for t in list_tomograms(star)] == ["rec_TS_01.mrc", "rec TS 02.mrc"]
    assert [t.path.name for t in list_tomograms(star, denoised=True)] == ["denoised.mrc", "rec TS 02.mrc"]
    alone = both.replace("_rlnTomoReconstructedTomogram #", "_rlnSomething #")
    star.write_text("\n".join(line for line in alone.splitlines() if not line.startswith("TS_02")))
    assert [t.path.name for t in list_tomograms(star)] == ["denoised.mrc"]


def test_without_binning_the_header_tells_the_voxel_size(project):
    star = project / "Reconstruct" / "job7" / "tomograms.star"
    star.write_text(STAR.replace("_rlnTomoTomogramBinning", "_rlnSomething"))
    assert [tomogram.voxel_angstrom for tomogram in list_tomograms(star)] == [None, None]


def test_one_tomogram_as_pairs_of_names_and_values(project):
    star = project / "Reconstruct" / "job7" / "tomograms.star"
    star.write_text(
        "data_\n\n_rlnTomoName TS_01\n_rlnTomoReconstructedTomogram tomograms/rec_TS_01.mrc\n"
        "_rlnTomoTiltSeriesPixelSize 5\n_rlnTomoTomogramBinning 2\n"
    )
    (found,) = list_tomograms(star)
    assert (found.name, found.voxel_angstrom) == ("TS_01", 10.0)
    assert found.path.resolve() == star.parent / "tomograms" / "rec_TS_01.mrc"


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("rec_TS_01", "gone", r"row 1 \(TS_01\): Reconstruct/job7/tomograms/gone.mrc: no such file, neither from"),
        ("Reconstruct/job7/tomograms/rec_TS_01.mrc", "/gone.mrc", r"row 1 \(TS_01\): /gone.mrc: no such file; correct"),
        ("Reconstruct/job7/tomograms/rec_TS_01.mrc", "None", r"row 1 \(TS_01\): no rlnTomoReconstructedTomogram"),
        ("4.2", "zero", r"row 2 \(TS_02\): rlnTomoTomogramBinning is 'zero', expected a positive number"),
        ("2.39 6.0", "-1 6.0", r"row 1 \(TS_01\): rlnTomoTiltSeriesPixelSize is '-1'"),
        ("2.39 6.0", "inf 6.0", r"row 1 \(TS_01\): rlnTomoTiltSeriesPixelSize is 'inf'"),
        ("_rlnTomoReconstructedTomogram #", "_rlnTomoSizeX #", r"no table with rlnTomoName and rlnTomoReconstructed"),
        ("_rlnTomoName", "_rlnName", r"no table with rlnTomoName"),
        ("TS_02 2.39", "TS_02", r"no STAR file \(.*number of values"),
        (STAR, "", r"no table with rlnTomoName"),
        (STAR, "text", r"no STAR file"),
    ],
)
def test_damaged_lists_of_relion(project, old, new, says):
    star = project / "Reconstruct" / "job7" / "tomograms.star"
    star.write_text(STAR.replace(old, new))
    with pytest.raises(InputError, match=f"tomograms.star: {says}"):
        list_tomograms(star)


def test_a_list_as_text(project):
    (project / "list.txt").write_bytes(
        "\ufeff# half of them\r\nReconstruct/job7/tomograms/rec TS 02.mrc\r\n\r\n".encode()
        + str(project / "Reconstruct/job7/tomograms/rec_TS_01.mrc").encode()
    )
    found = list_tomograms(project / "list.txt")
    assert [tomogram.name for tomogram in found] == ["rec TS 02", "rec_TS_01"]
    (project / "list.txt").write_text("\n\ngone.mrc\n")
    with pytest.raises(InputError, match=r"list.txt: line 3: gone.mrc: no such file, neither from"):
        list_tomograms(project / "list.txt")
    (project / "list.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"list.txt: cannot be read as text"):
        list_tomograms(project / "list.txt")


def test_nothing_named(tmp_path):
    (tmp_path / "list.txt").write_text("# none yet\n")
    for nothing in ([], tmp_path / "list.txt"):
        with pytest.raises(InputError, match="no tomogram is named"):
            list_tomograms(nothing)
    with pytest.raises(InputError, match=r"none.mrc: no such file; check the name"):
        list_tomograms(["none.mrc"])
