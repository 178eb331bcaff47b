"""``camfast demo``: a page that shows what was measured, and results that are worth showing."""

import csv
import json
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import mrcfile
import numpy as np
import pytest

from camfast import plot
from camfast.cli import demo, demo_page
from camfast.scan import read_volume
from camfast.scan.showing.report import ClassHits, write_report

VOID = {"meta", "img", "source", "link", "br"}


class Page(HTMLParser):
    """Collects links, pictures and text, and checks that tags close in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.files: set[str] = set()
        self.alts: list[str | None] = []
        self.text = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.files |= {found[name] for name in ("src", "srcset", "href") if found.get(name)}
        if tag == "img":
            self.alts.append(found.get("alt"))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.fixture
def small(monkeypatch):
    """A demo of 25 windows with a particle of each class."""
    monkeypatch.setattr(demo, "SHAPE", (32, 96, 96))
    monkeypatch.setattr(demo, "PARTICLES", 8)
    monkeypatch.setattr(demo, "STRIDE", 16)


def test_everything_is_written_and_says_what_was_measured(camfast, small, tmp_path):
    ran = camfast("demo", "--out", tmp_path / "new" / "demo", "--seed", "3", "--json")
    assert (ran.code, ran.err) == (0, "")
    facts = json.loads(ran.out)
    folder = tmp_path / "new" / "demo"
    assert facts["page"] == str(folder / "index.html")
    page = Page((folder / "index.html").read_text(encoding="utf-8"))
    assert all((folder / name).is_file() for name in page.files)
    assert {"tomogram.mrc", "cam.mrc", "particles.csv"} < page.files
    assert len(page.alts) == 3
    assert all(page.alts)
    assert sorted(p.name for p in folder.iterdir()) == sorted(page.files | {"index.html"})
    for part in (f"{facts['hit_percent']:.0f} %", f"{facts['others_hit_percent']:.0f} %", "25 windows", "seed 3"):
        assert part in page.text

    cam = read_volume(folder / "cam.mrc")
    assert mrcfile.validate(folder / "cam.mrc")
    assert cam.voxel_angstrom == (10.0, 10.0, 10.0)
    top = np.argwhere(np.asarray(cam.data) > np.quantile(cam.data, 0.95))
    hit = {True: [], False: []}
    with (folder / "particles.csv").open() as file:
        for row in csv.DictReader(file):
            centre = np.array([float(row[axis]) for axis in "zyx"])
            hit[row["label"] == facts["class"]].append(bool((np.linalg.norm(top - centre, axis=1) <= 2).any()))
    assert facts["hit_percent"] == 100 * np.mean(hit[True])
    assert facts["others_hit_percent"] == pytest.approx(100 * np.mean(hit[False]))


def test_a_second_demo_replaces_the_first(camfast, small, tmp_path, monkeypatch):
    monkeypatch.setattr(demo_page, "draw", lambda *_: [])
    files = []
    for seed in (1, 1, 2):
        assert camfast("demo", "--out", tmp_path, "--seed", seed, "--quiet").code == 0
        files.append({p.name: p.read_bytes() for p in tmp_path.iterdir() if p.suffix in (".mrc", ".csv")})
    assert files[0] == files[1]
    assert all(files[1][name] != files[2][name] for name in files[1])


def test_what_a_person_got_wrong_is_one_line(refused, small, tmp_path):
    assert "--class is 'cat', expected one of ball," in refused("demo", "--out", tmp_path / "a", "--class", "cat")
    assert "--class is 'nothing'" in refused("demo", "--out", tmp_path / "a", "--class", "nothing")
    (tmp_path / "file").write_text("")
    assert "the folder cannot be made" in refused("demo", "--out", tmp_path / "file")
    assert "--out" in refused("demo")


@pytest.mark.parametrize("name", ["cam.mrc", "index.html", "cam_central_dark.png"])
def test_only_an_earlier_demo_is_replaced_unasked(camfast, refused, small, tmp_path, monkeypatch, name):
    monkeypatch.setattr(demo_page, "draw", lambda *_: [])
    (tmp_path / name).write_text("precious")
    assert f"holds {name}, which no demo wrote" in refused("demo", "--out", tmp_path)
    assert (tmp_path / name).read_text() == "precious"
    assert camfast("demo", "--out", tmp_path, "--quiet", "--overwrite").code == 0
    assert camfast("demo", "--out", tmp_path, "--quiet").code == 0


@pytest.mark.parametrize("there", [True, False])
def test_an_interrupted_demo_leaves_nothing(camfast, small, tmp_path, monkeypatch, there):
    def interrupted(*_):
        raise KeyboardInterrupt

    folder = tmp_path / "new" / "demo"
    if there:
        folder.mkdir(parents=True)
        (folder / "notes.txt").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.setattr(demo_page, "draw", interrupted)
    assert camfast("demo", "--out", folder, "--quiet").code == 130
    assert sorted(tmp_path.rglob("*")) == before


def test_a_seed_below_0_is_refused(refused, tmp_path):
    assert "--seed is -1, expected 0 or" in refused("demo", "--out", tmp_path / "new", "--seed", "-1")


def test_the_page_escapes_what_it_is_given(tmp_path):
    count = ClassHits("<b>ring</b>", 2, 1)
    write_report(tmp_path / "a.html", label=count.label, scanned=count, others=count, all=count, counts=[count],
                 pictures=[], run={"<i>": "&"}, files=[], command="<script>", windows=1, scan_seconds=1.0,
                 voxels_per_second=1, threads=1)  # fmt: skip
    text = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert "<b>ring" not in text
    assert "<script>" not in text
    assert "<b>ring</b>" in Page(text).text


def test_slices_with_and_without_the_map_lie_at_the_same_place(tmp_path, monkeypatch):
    figures = {}
    monkeypatch.setattr(plot, "save", lambda figure, path, **_: figures.setdefault(path.name, figure))
    values = np.random.default_rng(0).normal(size=(16, 40, 48)).astype(np.float32)
    particle = SimpleNamespace(label="ring", centre=(8.0, 20.0, 24.0))
    tomogram = SimpleNamespace(data=values, particles=[particle], labels=["ring"], voxel_angstrom=10.0)
    demo_page.draw(tmp_path, tomogram, -values, {"class": "ring"})
    found = {}
    for name in ("cam_richest_light.png", "tomogram_richest_light.png"):
        figure = figures[name]
        figure.draw_without_rendering()
        shown = [axes for axes in figure.axes if axes.get_visible()]
        places = [axes.get_position().bounds for axes in figure.axes[:3]]
        found[name] = (tuple(figure.get_size_inches()), places)
        images = [sum(image.get_visible() for image in axes.images) for axes in figure.axes[:3]]
        assert (images, len(shown)) == (([2] * 3, 4) if name.startswith("cam") else ([1] * 3, 3))
    with_map, alone = found.values()
    assert with_map[0] == alone[0]
    np.testing.assert_allclose(with_map[1], alone[1], atol=1e-3)


def test_the_richest_planes_cut_most_particles():
    centres = [(3, 4, 50), (5, 30, 52), (20, 33, 10)]
    planes = demo_page.richest_planes(centres, (24, 40, 64))
    assert [sum(abs(c[axis] - plane) <= demo_page.REACH for c in centres) for axis, plane in enumerate(planes)] == [
        2,
        2,
        2,
    ]
    assert planes == [9, 27, 46]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_map_finds_the_particles_of_its_class_and_no_others(camfast, tmp_path: Path, seed):
    facts = json.loads(camfast("demo", "--out", tmp_path, "--seed", seed, "--json").out)
    assert facts["particles"] >= 8
    assert facts["hit_percent"] >= 80
    assert facts["others_hit_percent"] < 20
