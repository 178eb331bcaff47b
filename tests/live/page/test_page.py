"""The page in a real browser: what is seen changes, and what is asked for reaches the session."""

import json
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import camfast
from camfast.live import Looks, Session, open_source
from camfast.live.serving import PageServer
from camfast.models import Preprocess
from tests import browsers
from tests.live.page.conftest import CLASSES, Opened
from tests.live.page.screenshots import LEVELS, SIZE, particles
from tests.live.serving.fakes import FakeControl, Pump, Scene, until

pytestmark = pytest.mark.browser


def test_frames_change(opened: Opened) -> None:
    before, number = opened.pixels(), opened.number()
    until(lambda: opened.number() > number + 2, "other frames")
    after = opened.pixels()
    assert len(before) == len(after) == 64 * 64 * 4
    assert before != after
    assert opened.page.text_content("#state-word") == "running"
    assert {url.rpartition("/")[2] for url in opened.asked} == {
        "", "live.css", "live.js", "connection.js", "picture.js", "classes.js", "snapshot.js", "icon.svg", "socket",
    }  # fmt: skip


def test_numbers_are_those_of_the_session(opened: Opened, control: FakeControl) -> None:
    control.dropped = 1234
    opened.page.locator("#dropped", has_text="1234").wait_for()
    assert opened.page.text_content("#p95") == "28.9 ms"
    assert opened.page.text_content("#fps") == "30.0"
    opened.page.click("summary")
    assert opened.page.inner_text("#stages").split("\n")[:2] == ["prepare", "1.1 ms"]
    opened.page.click("#pause")
    shown = Scene(FakeControl(CLASSES), number=opened.number()).next()
    assert float(opened.page.text_content("#high")) == float(f"{shown.high:.3g}")
    assert opened.page.text_content("#low") == "0"


def test_a_class_is_chosen_by_its_name(opened: Opened, control: FakeControl) -> None:
    field = opened.page.locator("#class-search")
    field.click()
    assert opened.page.locator("#class-list .more").text_content() == "and 940 more: type on"
    field.press_sequentially("vesi")
    assert opened.page.locator("#class-list [role=option]").all_text_contents() == ["vesicle3"]
    field.press("Enter")
    until(lambda: control.changes == [{"target": 3}], "the change")
    opened.until("() => document.getElementById('overlay').ariaLabel.endsWith('map of vesicle')")
    assert field.input_value() == "vesicle"
    assert opened.page.get_attribute("#predicted", "aria-pressed") == "false"
    opened.page.click("#predicted")
    opened.until("() => document.getElementById('overlay').ariaLabel.endsWith('map of ribosome')")
    until(lambda: control.settings.target == "predicted", "the prediction")
    assert field.input_value() == ""


def test_a_chosen_class_has_another_map(opened: Opened, control: FakeControl, scene: Scene) -> None:
    opened.page.select_option("#format", "raw")
    opened.page.locator("#scores button", has_text="mitochondrion").click()
    until(lambda: control.changes == [{"target": 0}], "the change")
    opened.until("() => document.getElementById('overlay').ariaLabel.endsWith('map of mitochondrion')")
    opened.page.keyboard.press("Escape")
    opened.page.click("#pause")
    number = opened.number()
    pixels = np.reshape(opened.pixels(), (64, 64, 4))[..., :3]
    again = Scene(FakeControl(CLASSES), number=number)
    again.control.change({"target": 0})
    np.testing.assert_array_equal(pixels, again.next().rgb)  # raw bytes are the pixels that were shown


def test_sliders_and_lists_change_settings(opened: Opened, control: FakeControl) -> None:
    opened.page.locator("#threshold").fill("0.4")
    opened.page.locator("#alpha").fill("0.9")
    opened.page.select_option("#colormap", "hot")
    opened.page.select_option("#method", "hirescam")
    opened.page.select_option("#layer", "features.3")
    wanted = {"threshold": 0.4, "alpha": 0.9, "colormap": "hot", "method": "hirescam", "layer": "features.3"}
    until(lambda: vars(control.settings) == {"target": "predicted", **wanted}, "the settings")
    control.change({"alpha": 0.2, "colormap": "gray"})  # by somebody else
    opened.page.locator("output[for=alpha]", has_text="20 %").wait_for()
    assert opened.page.input_value("#colormap") == "gray"
    assert opened.page.input_value("#alpha") == "0.2"


def test_pause_stops_the_picture(opened: Opened, scene: Scene) -> None:
    opened.page.click("#pause")
    number, before = opened.number(), opened.pixels()
    until(lambda: scene.number > number + 15, "frames that aren't shown")
    assert opened.pixels() == before
    assert opened.number() == number
    assert opened.page.text_content("#state-word") == "paused"
    opened.page.click("#pause")
    until(lambda: opened.number() > number + 15, "the newest frame")


def test_a_snapshot_holds_the_picture_and_what_is_known(opened: Opened, tmp_path: Path) -> None:
    opened.page.click("#side")
    opened.page.wait_for_selector("#frame-side", state="visible")
    opened.page.click("#pause")
    with opened.page.expect_download() as download:
        opened.page.click("#snapshot")
    number = opened.number()
    assert download.value.suggested_filename == f"camfast_{number:06d}.png"
    download.value.save_as(tmp_path / "snapshot.png")
    image = Image.open(tmp_path / "snapshot.png")
    facts = json.loads(image.text["camfast"])
    assert image.text["Software"].startswith("camfast ")
    assert (facts["number"], facts["name"], facts["source"]) == (number, f"scene_{number}", "sim:512x512@30")
    assert facts["settings"]["layer"] == "fire9"
    assert facts["target"] == {"class": 1, "name": "ribosome"}
    assert facts["scores"][0]["name"] == "ribosome"
    assert facts["time"].endswith("Z")
    image.load()  # with the check sums of all that is in it
    assert image.size == (128, 64)
    pixels = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(pixels[:, :64], np.reshape(opened.pixels("frame"), (64, 64, 4))[..., :3])
    np.testing.assert_array_equal(pixels[:, 64:], np.reshape(opened.pixels(), (64, 64, 4))[..., :3])


def test_the_frame_alone_is_beside_the_overlay(opened: Opened) -> None:
    opened.page.select_option("#format", "raw")
    opened.page.click("#side")
    opened.page.wait_for_selector("#frame-side", state="visible")
    opened.page.click("#pause")
    shown = Scene(FakeControl(CLASSES), number=opened.number()).next()
    gray = np.reshape(opened.pixels("frame"), (64, 64, 4))
    np.testing.assert_array_equal(gray[..., 0], shown.gray)
    np.testing.assert_array_equal(gray[..., 0], gray[..., 2])


def test_keys(opened: Opened, control: FakeControl) -> None:
    page = opened.page
    page.keyboard.press("]")
    until(lambda: control.settings.alpha == 0.55, "more opacity")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("[")
    until(lambda: control.settings.alpha == 0.45, "less opacity")
    page.keyboard.press("f")
    page.wait_for_selector("#frame-side", state="visible")
    page.keyboard.press("Space")
    page.locator("#state-word", has_text="paused").wait_for()
    with page.expect_download():
        page.keyboard.press("s")
    page.keyboard.press("Space")
    page.locator("#state-word", has_text="running").wait_for()
    page.keyboard.press("/")
    page.keyboard.type("sf ?")  # letters of a name, not keys
    assert page.input_value("#class-search") == "sf ?"
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    page.wait_for_selector("#help[open]")
    page.locator("#keys").uncheck()
    page.keyboard.press("Escape")
    page.wait_for_selector("#help", state="hidden")
    page.keyboard.press("Space")
    page.keyboard.press("]")
    assert page.text_content("#state-word") == "running"
    assert control.settings.alpha == 0.45


def test_everything_can_be_reached_by_the_keyboard_and_has_a_name(opened: Opened) -> None:
    reached = []
    opened.page.evaluate("document.body.focus()")
    for _ in range(40):
        opened.page.keyboard.press("Tab")
        at = opened.page.evaluate(
            """() => {
                const at = document.activeElement;
                const name = at.ariaLabel || at.innerText || at.labels?.[0]?.innerText || "";
                return {id: at.closest("[id]")?.id || at.tagName, name,
                        ring: getComputedStyle(at).outlineStyle};
            }"""
        )
        if at["id"] == "BODY":
            break
        assert at["name"].strip(), at
        assert at["ring"] == "solid", at
        reached.append(at["id"])
    assert set(reached) >= {
        "pause", "snapshot", "side", "help-open", "predicted", "scores", "class-search", "alpha", "threshold",
        "colormap", "method", "layer", "format",
    }  # fmt: skip


def test_a_source_that_fails_is_said(opened: Opened, control: FakeControl) -> None:
    control.state, control.message = "failed", "film.tif is truncated: 3 of 9 frames"
    opened.page.locator("#notice[aria-live=polite] p", has_text="film.tif is truncated: 3 of 9 frames").wait_for()
    assert opened.page.text_content("#state-word") == "failed"
    assert opened.page.title() == "failed – camfast live"
    control.state, control.message = "running", ""
    opened.page.locator("#notice p").wait_for(state="detached")
    assert opened.page.title() == "camfast live"


def test_a_refused_change_is_said(opened: Opened, control: FakeControl) -> None:
    opened.page.evaluate("document.getElementById('colormap').append(new Option('rainbow'))")
    opened.page.select_option("#colormap", "rainbow")
    opened.page.locator("#notice p", has_text="colormap must be one of gray, hot, jet; found 'rainbow'").wait_for()
    assert control.changes == []


def test_scores_stand_still_while_someone_points_at_them(opened: Opened, scene: Scene) -> None:
    first = opened.page.locator("#scores .name").first
    first.hover()
    scene.target = 2
    opened.until("() => document.getElementById('overlay').ariaLabel.endsWith('map of membrane')")
    number = opened.number()
    until(lambda: opened.number() > number + 10, "frames with other scores")
    assert first.text_content() == "ribosome"
    opened.page.mouse.move(5, 5)
    opened.until("() => document.querySelector('#scores .name').textContent === 'membrane'")


def test_it_comes_back_after_the_server_did(chromium: Any, control: FakeControl) -> None:
    server = PageServer(control, port=0)
    server.start()
    opened = Opened(chromium, server.address, browsers.TUBE)
    scene = Scene(control)
    with Pump(scene, server, fps=20):
        opened.page.wait_for_selector("#empty", state="hidden")
        server.close()
        opened.page.locator(
            "#notice p", has_text="The connection to camfast is lost (camfast is closing). This page"
        ).wait_for()
        assert opened.page.text_content("#state-word") == "connection lost"
        before = scene.number
        server.start()
        until(lambda: opened.number() > before, "frames again")
        assert opened.page.locator("#notice p").count() == 0
    opened.context.close()
    server.close()


def test_a_real_session(chromium: Any) -> None:
    """A simulated camera, a network that knows its particles, and the page: a class is chosen, and its map comes."""
    looks = Looks(camfast.Explainer(particles(), "places"), Preprocess((SIZE, SIZE), "L"), CLASSES[:4], LEVELS)
    session = Session(open_source("sim:96x96@20"), looks)
    server = PageServer(session, port=0)
    server.start()
    session.add(server)
    with session:
        opened = Opened(chromium, server.address, browsers.TUBE)
        opened.page.wait_for_selector("#empty", state="hidden")
        opened.page.click("#class-search")
        opened.page.locator("#class-list [role=option]", has_text="membrane").click()
        opened.until("() => document.getElementById('overlay').ariaLabel.endsWith('map of membrane')")
        assert opened.page.locator("#layer option").all_text_contents()[-1] == "places"
        opened.page.select_option("#method", "hirescam")
        opened.page.locator("#scores button", has_text="ribosome").click()
        opened.until("() => document.getElementById('overlay').ariaLabel.endsWith('map of ribosome')")
        assert (session.settings.method, session.settings.target) == ("hirescam", 1)
        assert np.ptp(np.reshape(opened.pixels(), (96, 96, 4))[..., :3], 2).max() > 100  # there are colours
        opened.context.close()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", int(server.name.rpartition(":")[2][:-1])), 5)


def test_a_token_is_asked_for_and_leaves_the_address(chromium: Any, control: FakeControl) -> None:
    server = PageServer(control, port=0, token="a-token-for-tests")
    server.start()
    Scene(control).put(server)
    opened = Opened(chromium, server.name, browsers.TUBE)
    assert "token is needed" in opened.page.inner_text("body")
    opened.page.goto("data:text/html,<a href='" + server.address + "'>look</a>")  # as from a notebook elsewhere
    opened.page.click("a")
    opened.page.wait_for_selector("#empty", state="hidden")
    assert opened.page.url == server.name
    assert "token" not in opened.page.evaluate("document.cookie + document.referrer")
    opened.context.close()
    server.close()
