"""The page of a scan: its pixels against the volume's, only what is shown is read, everything escaped."""

import base64
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from PIL import Image

import camfast
from camfast.errors import InputError
from camfast.scan import scan
from camfast.scan.formats.lazy import LazyArray
from camfast.scan.picking.picks import Picks
from camfast.scan.showing.histogram import histogram
from camfast.scan.showing.page import write_scan_page
from camfast.scan.showing.pictures import Slice, limits_of, scale_bar
from camfast.scan.showing.pixels import averaged
from camfast.scan.volumes import Volume
from tests.scan.cases import STRIDE, WINDOW, density

SHAPE = (20, 24, 28)
SIZE = (10.0, 10.0, 10.0)


class Parsed(HTMLParser):
    """Tags with their attributes, and the text of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def picks(*places, label=1):
    values = np.arange(len(places), 0, -1, dtype=np.float32)
    return Picks(np.array(places, float).reshape(-1, 3), values, np.full(len(places), label), values / 10)


@pytest.fixture
def page(tmp_path):
    """Write a page and parse it."""

    def write(cam=None, names=("ball",), **options):
        rng = np.random.default_rng(1)
        cam = rng.normal(size=SHAPE).astype(np.float32) if cam is None else cam
        given = {"density": Volume(density(SHAPE), SIZE), "about": {"method": "respond", "target": 1}, **options}
        write_scan_page(tmp_path / "page.html", cam=cam, names=names, **given)
        return Parsed((tmp_path / "page.html").read_text())

    return write


def pixels(uri):
    kind, _, content = uri.partition(";base64,")
    assert kind in ("data:image/png", "data:image/jpeg")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))).convert("RGBA"), float)


def test_density_and_map_are_those_of_the_slices(page):
    volume, cam = density(SHAPE), np.zeros(SHAPE, np.float32)
    cam[10, 3, 4], cam[10, 20, 9] = 2.0, -4.0  # in the slice through the middle
    cam[0, 0, 0] = np.nan
    images = page(cam).all("image")
    first = pixels(next(image["href"] for image in images if image.get("id") == "density1"))[..., 0]
    low, high = np.percentile(np.concatenate([volume[10].ravel(), volume[:, 12].ravel(), volume[:, :, 14].ravel()]),
                              (1, 99))  # fmt: skip
    expected = np.clip((volume[10] - low) / (high - low) * 255, 0, 255)
    assert np.abs(first - expected).mean() < 8  # JPEG of noise
    assert np.corrcoef(first.ravel(), expected.ravel())[0, 1] > 0.98
    maps = [pixels(image["href"]) for image in images if image.get("class") == "heat"]
    assert [one.shape[:2] for one in maps] == [(24, 28), (20, 28), (24, 20)] * 2
    central = maps[3]
    assert central[3, 4].tolist() == [212, 0, 28, 217]
    assert central[20, 9].tolist() == [16, 35, 158, 217]
    assert (central[..., 3] > 0).sum() == 2
    strongest = maps[0]  # y = 3, x = 4 of z = 10, as 2 is the largest value
    assert strongest[3, 4].tolist() == [212, 0, 28, 217]


def test_nan_is_magenta_and_said(page):
    cam = np.zeros(SHAPE, np.float32)
    cam[10, 5, 6] = np.nan
    found = page(cam)
    heat = [pixels(image["href"]) for image in found.all("image") if image.get("class") == "heat"]
    assert heat[3][5, 6].tolist() == [255, 0, 255, 255]
    assert "Magenta is not a number" in found.text
    assert "Magenta" not in page(np.ones(SHAPE, np.float32)).text
    assert "Magenta is not a number" in page(np.full(SHAPE, np.nan, np.float32)).text


def test_one_file_that_needs_nothing_else(page):
    found = page(scores=np.random.default_rng(0).normal(size=(2, 3, 4, 3)), picks=picks((10, 3, 4)))
    links = [value for _, attributes in found.tags for name, value in attributes.items() if name in ("href", "src")]
    assert links
    assert all(link.startswith(("data:image/", "#density")) for link in links)
    assert {"script", "link", "iframe"} & {tag for tag, _ in found.tags} == set()
    drawings = [svg for svg in found.all("svg") if "role" in svg]
    assert len(drawings) == 4
    assert all(len(svg["aria-label"]) > 20 for svg in drawings)
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in found.all("meta")


def test_everything_is_escaped(page):
    evil = "<script>alert(1)</script>"
    about = {"method": evil, "model": evil, evil: evil, "target": 1}
    found = page(
        names=[evil], about=about, density=Volume(density(SHAPE), SIZE), picks=picks((1, 2, 3)), labels={1: evil}
    )
    assert "script" not in {tag for tag, _ in found.tags}
    assert found.text.count(evil) >= 5


def test_circles_are_where_slices_cut_the_picks(page):
    about = {"target": 1, "window": [16, 16, 16]}  # spheres of 4 voxels
    found = page(about=about, picks=picks((10, 3, 4), (13, 20, 9), (10, 8, 8)))
    rings = [(float(c["cx"]), float(c["cy"]), float(c["r"])) for c in found.all("circle")]
    assert (4.5, 3.5, 4.0) in rings
    assert (9.5, 20.5, 2.65) in rings  # √(4² − 3²) in the slice z = 10
    assert "through the strongest pick" in found.text
    assert "z = 10 (large), y = 3 (below) and x = 4 (at the right)" in found.text


def test_picks_of_other_classes_are_counted_but_not_drawn(page):
    both = picks((10, 3, 4))
    others = picks((5, 5, 5), (6, 6, 6), label=2)
    every = Picks(*(np.concatenate([getattr(p, f) for p in (both, others)]) for f in Picks.__slots__))
    found = page(picks=every, labels=["nothing", "ball", "rod"])
    assert "1 pick." in found.text
    assert re.search(r"2\s*rod\s*5\.0, 5\.0, 5\.0\s*50, 50, 50\s*2\s*0\.20", found.text)


def test_without_picks_scores_and_voxel_size(page):
    found = page(density=Volume(density(SHAPE)), about={})
    assert "voxel size unknown" in found.text
    assert found.all("circle") == []
    assert found.all("rect") == []
    assert "the largest value of the map within the slices through the middle" in found.text


def test_the_strongest_place_is_looked_for_in_the_window_with_the_largest_score(page):
    cam, scores = np.zeros(SHAPE, np.float32), np.zeros((2, 3, 4, 2))
    cam[15, 9, 7], cam[1, 1, 1] = 1.0, 9.0
    scores[1, 2, 1, 1] = 5.0
    scores[0, 0, 0] = np.nan
    about = {"target": 1, "window": [8, 8, 8], "stride": [8, 4, 4]}
    assert "z = 15 (large), y = 9 (below) and x = 7 (at the right)" in page(cam, about=about, scores=scores).text


class Counting(LazyArray):
    """Zeros that remember which boxes were read."""

    def __init__(self, shape):
        super().__init__(shape, np.float32, (1, 1, shape[2]))
        self.voxels = 0

    def read(self, box):
        values = np.zeros([span.stop - span.start for span in box], np.float32)
        self.voxels += values.size
        values[...] = np.arange(values.shape[2])
        return values


def test_only_slices_are_read_and_large_ones_are_averaged(page):
    shape = (3, 1000, 1700)
    volume, cam = Counting(shape), Counting(shape)
    found = page(cam, density=Volume(volume, SIZE))
    planes = 1000 * 1700 + 3 * 1700 + 3 * 1000
    assert max(volume.voxels, cam.voxels) <= 2 * planes
    first = next(image for image in found.all("image") if image.get("id") == "density1")
    assert (first["width"], first["height"]) == ("1701", "1002")  # blocks of 3 reach over the edges
    assert pixels(first["href"]).shape[:2] == (334, 567)


def test_averages_match_float64():
    plane = np.random.default_rng(0).normal(size=(7, 5)).astype(np.float32)
    found = averaged(plane, 3)
    for row in range(3):
        for column in range(2):
            part = plane[3 * row : 3 * row + 3, 3 * column : 3 * column + 3].astype(np.float64)
            assert found[row, column] == pytest.approx(part.mean(), rel=1e-12)


def test_several_targets_have_pictures_and_the_rest_is_named(page):
    cam = np.random.default_rng(0).normal(size=(6, *SHAPE)).astype(np.float32)
    names = ["ball", "rod", "ring", "shell", "cross", "<b>"]
    found = page(cam, names, about={"target": "all"}, scores=np.zeros((2, 3, 4, 6)))
    assert "2 more (cross, <b>)" in " ".join(found.text.split())
    assert len([image for image in found.all("image") if image.get("class") == "heat"]) == 4 * 6


def test_histogram_counts_scores():
    scores = np.random.default_rng(0).normal(size=(3, 4, 5, 3))
    scores[0, 0, :2] = np.nan
    own = scores.reshape(-1, 3)[~np.isnan(scores).any(-1).ravel()]
    found = histogram(scores, 2)
    assert (found.windows, found.left_out) == (58, 2)
    assert found.won == (own.argmax(1) == 2).sum()
    for bar in found.bars[:-1]:
        inside = (own[:, 2] >= bar.low) & (own[:, 2] < bar.high)
        assert (bar.count, bar.won) == (inside.sum(), (inside & (own.argmax(1) == 2)).sum())
    assert sum(bar.count for bar in histogram(scores, None).bars) == 58
    assert histogram(np.full((1, 1, 1, 3), np.nan), 0).bars == ()
    assert histogram(np.zeros((1, 1, 1, 1)), 0).windows == 1


def test_what_was_measured_is_shown(page):
    difference = {"maps": 0.563, "worst": "inf", "scores": 0.1, "same_class": 0.875, "windows": 8}
    about = {"target": 1, "sum_to_score_residual": 0.169, "difference_from_exact": difference, "torch": "2.13"}
    text = page(about=about, density=Volume(density(SHAPE), (10.0, 10.0, 12.5))).text
    for part in ("16.9 %", "56.3 %", "worst window inf", "87.5 % of 8 windows", "10 × 10 × 12.5 Å", "2.13"):
        assert part in text


def test_a_header_that_had_no_room_for_the_difference(page):
    assert "not kept" in page(about={"difference_from_exact": '{"maps": 0.5'}).text


def test_limits_and_scale_bar():
    for value, limits in ((0.0, (0.0, 1.0)), (-3.0, (-3.0, 0.0)), (2.0, (0.0, 2.0)), (np.nan, (0.0, 1.0))):
        assert limits_of([Slice(np.full((2, 2), value), (2, 2), 1)]) == limits
    bar = scale_bar(Volume(np.zeros((1, 1, 1000)), (13.0, 13.0, 13.0)))
    assert (bar.text, bar.voxels) == ("200 nm", pytest.approx(2000 / 13))


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 7, 9), (7, 1, 1)])
def test_hostile_shapes(page, shape):
    cam = np.ones(shape, np.float32)
    assert "through the middle" in page(cam, density=Volume(density(shape), SIZE)).text


@pytest.mark.parametrize(("shape", "names"), [((20, 24, 27), ["a"]), ((2, *SHAPE), ["a"]), ((24, 28), ["a"])])
def test_maps_that_do_not_fit(page, shape, names):
    with pytest.raises(InputError, match="the map has the shape"):
        page(np.zeros(shape, np.float32), names)


@pytest.mark.parametrize("target", [1, "all", "predicted"])
def test_the_report_of_a_scan(explainer, tmp_path, target):
    volume = Volume(density((24, 20, 28)), SIZE)
    options = {"window": WINDOW, "stride": STRIDE, "target": target, "progress": False, "also": ["report"]}
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        scan(volume, explainer, out=tmp_path / name / "cam.zarr", **options)
    first, second = ((tmp_path / name / "cam.report.html").read_bytes() for name in ("first", "second"))
    assert first == second
    found = Parsed(first.decode())
    about = camfast.read_provenance(tmp_path / "first" / "cam.zarr")
    for fact in (about["model_sha256"], about["method"], about["layer"], about["torch"], about["camfast"]):
        assert fact in found.text
    assert json.dumps(about["window"])[1:-1].replace(", ", " × ") in found.text
    assert torch.__version__ in found.text
