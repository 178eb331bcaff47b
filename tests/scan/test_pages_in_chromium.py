"""Names of strangers on the pages of a scan, in a real browser: they are read, and nothing of them runs."""

import numpy as np
import pytest

from camfast.scan.picking.picks import Picks
from camfast.scan.showing.page import write_scan_page
from camfast.scan.showing.report import ClassHits, write_report
from camfast.scan.volumes import Volume
from tests import browsers
from tests.scan.cases import density

pytestmark = pytest.mark.browser

SHAPE = (20, 24, 28)
NAMES = (
    "<script>window.sprung = 1</script>",
    "<img src=x onerror='window.sprung = 2'>",
    '"><svg onload="window.sprung = 3">',
    "'-alert(1)-'",
    "javascript:alert(1)",
    "</style><script>alert(1)</script>",
    "&lt;b&gt; is no tag",
    "{{ 7 * 7 }} {% raw %}",
)


@pytest.fixture
def seen(chromium, tmp_path):
    """Open a page as a file, and give its text; it may not run anything, complain, or ask anybody for anything."""

    def see(name):
        context = browsers.context_for(chromium, browsers.TUBE)
        page, heard, asked = context.new_page(), [], []
        page.on("dialog", lambda dialog: (heard.append(dialog.message), dialog.dismiss()))
        page.on("console", lambda line: heard.append(line.text))
        page.on("pageerror", lambda error: heard.append(str(error)))
        context.on("request", lambda request: asked.append(request.url))
        page.goto((tmp_path / name).as_uri(), wait_until="load")
        for element in page.locator("summary, label, button").all():  # what can be opened or pressed
            if element.is_visible():
                element.click()
        text, sprung = page.locator("body").inner_text(), page.evaluate("window.sprung")
        tags = page.evaluate("[...document.querySelectorAll('script, iframe, object, img[onerror]')].length")
        context.close()
        assert (heard, sprung, tags) == ([], None, 0)
        assert [url for url in asked if not url.startswith(("data:", "file:"))] == []
        return text

    return see


@pytest.mark.parametrize("name", NAMES)
def test_the_page_of_a_scan_shows_names_as_they_are(seen, tmp_path, name):
    places = Picks(np.array([[3.0, 4, 5]]), np.ones(1, np.float32), np.ones(1, int), np.ones(1))
    cam = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    about = {"method": name, "model": name, name: name, "target": 1}
    volume = Volume(density(SHAPE), (10.0, 10.0, 10.0))
    write_scan_page(
        tmp_path / "a.html", density=volume, cam=cam, names=[name], about=about, picks=places, labels={1: name}
    )
    assert seen("a.html").count(name) >= 4


@pytest.mark.parametrize("name", NAMES)
def test_the_report_of_a_demonstration_shows_names_as_they_are(seen, tmp_path, name):
    count = ClassHits(name, 2, 1)
    write_report(
        tmp_path / "a.html", label=name, scanned=count, others=count, all=count, counts=[count], pictures=[],
        run={name: name}, files=[], command=name, windows=1, scan_seconds=1.0, voxels_per_second=1, threads=1,
    )  # fmt: skip
    assert seen("a.html").count(name) >= 4


@pytest.mark.parametrize("name", [*NAMES[:3], "<img src='http://127.0.0.1:9/a.png'>", "<iframe></iframe>"])
def test_what_runs_or_asks_is_noticed(seen, tmp_path, name):
    (tmp_path / "a.html").write_text(f'<!doctype html><p title="{name}">{name}</p>')
    with pytest.raises(AssertionError):
        seen("a.html")
