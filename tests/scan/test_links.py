"""Links that somebody laid where a scan writes: nothing is written or removed outside of the output's folder."""

import pytest

from camfast.errors import InputError
from camfast.scan import Volume, scan
from tests.scan.cases import STRIDE, WINDOW, density

SHAPE = (16, 12, 20)


@pytest.fixture
def elsewhere(tmp_path):
    """A folder whose content is precious."""
    folder = tmp_path / "elsewhere"
    (folder / "inner").mkdir(parents=True)
    (folder / "file").write_text("precious")
    (folder / "inner" / "file").write_text("precious")
    (folder / "lock").write_text("precious")
    return folder


@pytest.fixture
def scanning(explainer, tmp_path):
    out = tmp_path / "out"
    out.mkdir()

    def run(name="cam.zarr", **options):
        given = {"window": WINDOW, "stride": STRIDE, "target": 1, "progress": False, "also": ["report"]}
        scan(Volume(density(SHAPE), (10.0, 10.0, 10.0)), explainer, out=out / name, **given, **options)

    return out, run


def _content(folder):
    return {str(path.relative_to(folder)): path.is_dir() or path.read_bytes() for path in folder.rglob("*")}


@pytest.mark.parametrize("name", ["cam.zarr", "cam.mrc"])
@pytest.mark.parametrize("options", [{}, {"overwrite": True}, {"resume": False}])
@pytest.mark.parametrize("link", ["", "parts", "blocks", "done", "lock", "done/cam.zarr", "done/cam.mrc"])
def test_a_link_in_the_place_of_unfinished_work_is_refused(scanning, elsewhere, link, options, name):
    out, run = scanning
    place = out / f".{name}.partial" / link
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(elsewhere / "lock" if link in ("lock", "done/cam.mrc") else elsewhere)
    before = _content(elsewhere)
    with pytest.raises(InputError, match="is a link, which no scan makes"):
        run(name, **options)
    assert _content(elsewhere) == before
    assert not (out / name).exists()


@pytest.mark.parametrize("name", ["cam.zarr", "cam.mrc"])
@pytest.mark.parametrize("kind", ["folder", "file", "nothing"])
def test_a_link_under_the_outputs_name_is_replaced_and_not_followed(scanning, elsewhere, kind, name):
    out, run = scanning
    target = {"folder": elsewhere, "file": elsewhere / "file", "nothing": elsewhere / "new"}[kind]
    for one in (name, "cam.report.html"):
        (out / one).symlink_to(target)
    before = _content(elsewhere)
    if kind == "folder":  # no Zarr store
        with pytest.raises(InputError, match="so it is not replaced"):
            run(name, overwrite=True)
    else:
        run(name, overwrite=True)
        assert not (out / name).is_symlink()
        assert not (out / "cam.report.html").is_symlink()
    assert _content(elsewhere) == before


def test_a_link_to_a_store_is_replaced_and_the_store_stays(scanning, tmp_path):
    out, run = scanning
    run("first.zarr")
    first = tmp_path / "first.zarr"
    (out / "first.zarr").rename(first)
    (out / "cam.zarr").symlink_to(first)
    before = _content(first)
    run("cam.zarr", overwrite=True)
    assert not (out / "cam.zarr").is_symlink()
    assert _content(first) == before


@pytest.mark.parametrize("name", ["cam.zarr", "cam.mrc"])
def test_a_file_under_the_outputs_name_is_replaced(scanning, name):
    out, run = scanning
    (out / name).write_text("of another program")
    run(name, overwrite=True)
    assert (out / name).is_dir() is name.endswith(".zarr")
    assert sorted(path.name for path in out.iterdir()) == sorted([name, "cam.report.html"])
