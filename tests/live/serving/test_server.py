"""What a page gets from the server, over a websocket."""

import base64
import json
import re
import socket
import threading
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from camfast.errors import InputError
from camfast.live.serving.server import PageServer
from tests.live.serving.fakes import NAMES, PATIENCE, FakeControl, Pump, Scene, until
from tests.live.serving.watching import closed, next_frame, next_text, opened, pixels, say, unpacked, watch


def test_a_page_is_greeted(server: PageServer, control: FakeControl) -> None:
    with watch(server) as page:
        hello, settings, status = (json.loads(page.recv(5)) for _ in range(3))
    assert hello["choices"]["classes"] == list(control.choices.classes)
    assert hello["choices"]["layers"] == list(control.choices.layers)
    assert set(hello["colors"]) == set(control.choices.colormaps)
    jet = np.frombuffer(base64.b64decode(hello["colors"]["jet"]), np.uint8).reshape(256, 3)
    np.testing.assert_array_equal(jet[[0, 128, 255]], [[0, 0, 128], [130, 255, 126], [128, 0, 0]])
    assert settings == {"type": "settings", "settings": {"layer": "fire9", "method": "gradcam", "target": "predicted",
        "alpha": 0.5, "threshold": 0.0, "colormap": "jet"}}  # fmt: skip
    assert {name: status[name] for name in ("type", "pages")} == {"type": "status", "pages": 1}
    assert status.items() >= control.status().items()


def test_frames_are_as_they_were_shown(server: PageServer, control: FakeControl, scene: Scene) -> None:
    with watch(server) as page:
        say(page, "want", format="raw", frame=True)
        with Pump(scene, server):
            until(lambda: "frame" in (got := next_frame(page)).images and got.header["number"] > 3, "both pictures")
            got = next_frame(page)
    again = Scene(control, number=got.header["number"])
    shown = again.next()
    np.testing.assert_array_equal(pixels(got, "overlay"), shown.rgb)
    np.testing.assert_array_equal(pixels(got, "frame"), shown.gray)
    header = got.header
    assert (header["name"], header["shape"], header["dtype"]) == (shown.frame.name, [64, 64], "uint16")
    assert header["target"] == {"class": 1, "name": "ribosome"}
    assert [(one["class"], one["score"]) for one in header["scores"]] == [(1, 4), (2, 2.5), (3, 1.5), (4, 1), (0, -0.5)]
    assert (header["low"], header["high"], header["black"], header["white"]) == (0, shown.high, 0, 65535)
    assert header["milliseconds"] == shown.milliseconds
    assert 0 < header["latency_ms"] < 5000
    assert header["settings"]["layer"] == "fire9"


@pytest.mark.parametrize("form", ["jpeg", "webp"])
def test_frames_are_encoded_as_wanted(server: PageServer, scene: Scene, form: str) -> None:
    with watch(server) as page, Pump(scene, server):
        say(page, "want", format=form, frame=True, quality=95)
        until(lambda: {"overlay", "frame"} == set((got := next_frame(page)).images)
            and got.header["parts"][0]["format"] == form, "frames as wanted")  # fmt: skip
        got = next_frame(page)
        assert opened(got.images["overlay"]).format == form.upper()
        assert opened(got.images["overlay"]).size == opened(got.images["frame"]).size == (64, 64)
        assert opened(got.images["overlay"]).mode == "RGB"


def test_a_page_that_comes_late_gets_the_last_frame(server: PageServer, scene: Scene) -> None:
    scene.put(server)
    with watch(server) as page:
        assert next_frame(page).header["number"] == 0
        say(page, "want", format="raw", frame=True)  # and what it wants of it, without another
        got = next_frame(page)
        assert got.header["number"] == 0
        assert pixels(got, "overlay").any()
        assert pixels(got, "frame").any()


def test_nothing_is_encoded_when_nobody_looks(
    server: PageServer, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[str] = []
    monkeypatch.setattr("camfast.live.serving.newest.encode", lambda *_: encoded.append("once"))
    for _ in range(5):
        scene.put(server)
    assert encoded == []


def test_at_most_two_frames_are_on_their_way(server: PageServer, scene: Scene) -> None:
    with watch(server) as page, Pump(scene, server, fps=200):
        first = next_frame(page, acknowledge=False).header["number"]
        second = next_frame(page, acknowledge=False).header["number"]
        before = scene.number
        until(lambda: scene.number > before + 20, "frames that can't be sent")
        next_text(page, "status")  # fails to be next if a third frame came: it would be acknowledged, and be an error
        newest = scene.number
        say(page, "shown", number=second)
        third = next_frame(page, acknowledge=False).header["number"]
        assert first < second < newest - 10 < third  # what was made meanwhile is skipped, not sent late
        say(page, "shown", number=first)
        assert next_text(page, "error")["message"] == f"the frame {first} isn't on its way"


def test_pause_is_the_pages_own(server: PageServer, scene: Scene) -> None:
    with watch(server) as paused, watch(server) as other, Pump(scene, server):
        next_frame(paused)
        next_frame(other)
        say(paused, "pause", paused=True)
        say(paused, "want", format="nothing")
        next_text(paused, "error")  # what was sent before the pause has been read
        for _ in range(10):
            next_frame(other)
        for _ in range(2):
            status = json.loads(paused.recv(5))  # a frame would be bytes, and no JSON
            assert status["type"] == "status"
        say(paused, "pause", paused=False)
        assert next_frame(paused).header["number"] >= next_frame(other).header["number"] - 10


def test_settings_are_shared(server: PageServer, control: FakeControl, scene: Scene) -> None:
    with watch(server) as one, watch(server) as other:
        next_text(one, "settings")
        next_text(other, "settings")
        say(one, "change", target=3, alpha=1.0, colormap="hot")
        for page in (one, other):
            settings = next_text(page, "settings")["settings"]
            assert (settings["target"], settings["alpha"], settings["colormap"]) == (3, 1.0, "hot")
        scene.put(server)
        assert next_frame(other).header["target"] == {"class": 3, "name": "vesicle"}
        control.settings = replace(control.settings, method="respond")  # by a program, not a page
        assert next_text(one, "settings")["settings"]["method"] == "respond"


def test_choices_that_come_late_are_told(server: PageServer, control: FakeControl) -> None:
    with watch(server) as page:
        assert next_text(page, "hello")["choices"]["classes"] == list(NAMES)
        control.choices = replace(control.choices, classes=("one", "two"))
        assert next_text(page, "hello")["choices"]["classes"] == ["one", "two"]


def test_a_bad_setting_is_refused_in_words(server: PageServer, control: FakeControl) -> None:
    before = control.settings
    with watch(server) as page:
        for changes, why in (
            ({"target": 99}, "a class from 0 to 4, found 99"),
            ({"alpha": 1.5}, "alpha must be a number from 0 to 1, found 1.5"),
            ({"layer": ["fire9"]}, "layer must be one of"),
            ({"speed": 1}, "unknown setting 'speed'"),
            ({"colormap": "x" * 3000}, "colormap must be one of"),
        ):
            say(page, "change", **changes)
            assert why in next_text(page, "error")["message"]
    assert control.settings == before


def test_status_comes_without_frames_and_when_it_changes(server: PageServer, control: FakeControl) -> None:
    with watch(server) as page:
        next_text(page, "status")
        control.state, control.message = "failed", "the folder /data is gone"
        started = time.monotonic()
        until(lambda: next_text(page, "status")["state"] == "failed", "the state")
        assert time.monotonic() - started < 0.9  # sooner than the next second
        assert next_text(page, "status")["message"] == "the folder /data is gone"


def test_closing_is_quick_and_said(control: FakeControl, scene: Scene) -> None:
    server = PageServer(control, port=0)
    server.start()
    with ExitStack() as opened_pages:
        pages = [opened_pages.enter_context(watch(server)) for _ in range(3)]
        with Pump(scene, server):  # frames still come when it closes, and after
            next_frame(pages[0])
            started = time.monotonic()
            server.close()
            assert time.monotonic() - started < 1
            before = scene.number
            until(lambda: scene.number > before + 2, "frames that nobody takes")
        for page in pages:
            assert closed(page) == (1001, "camfast is closing")
    server.close()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", int(server.name.rpartition(":")[2][:-1])), 5)


def test_a_server_can_start_again_at_once(control: FakeControl, scene: Scene) -> None:
    server = PageServer(control, port=0)
    for _ in range(2):  # the second time at the port of the first
        server.start()
        name = server.name
        with watch(server) as page:
            scene.put(server)
            next_frame(page)
            server.close()
        assert server.name == name


def test_a_taken_port_is_said(server: PageServer, control: FakeControl) -> None:
    port = int(server.name.rpartition(":")[2][:-1])
    other = PageServer(control, port=port)
    with pytest.raises(InputError, match=rf"can't listen on 127.0.0.1:{port}: .*in use; give another port"):
        other.start()
    other.close()
    with pytest.raises(InputError, match=r"can't listen on nowhere\.invalid"):
        PageServer(control, "nowhere.invalid", 0, "long-enough-token").start()


def test_the_address_is_what_to_open(control: FakeControl) -> None:
    assert PageServer(control).address == "http://127.0.0.1:8765/"
    assert PageServer(control, "::", 80, "long-enough-token").address == "http://[::1]:80/?token=long-enough-token"
    assert PageServer(control, "0.0.0.0", 80, "long-enough-token").name == "http://127.0.0.1:80/"


def test_a_frame_taken_apart_has_nothing_left(server: PageServer, scene: Scene) -> None:
    scene.put(server)
    with watch(server) as page:
        while isinstance(message := page.recv(5), str):
            pass
        with pytest.raises(AssertionError):
            unpacked(message + b"\0")


def test_the_example_of_the_protocol_runs(server: PageServer, scene: Scene) -> None:
    text = (Path(__file__).resolve().parents[3] / "docs" / "live" / "protocol.md").read_text()
    [example] = re.findall("```python\n(.*?)```", text, re.DOTALL)
    printed: list[tuple[int, str]] = []
    code = compile(example.replace("127.0.0.1:8765", server.name[7:-1]), "docs/live/protocol.md", "exec")
    program = threading.Thread(target=exec, args=(code, {"print": lambda *words: printed.append(words)}))
    program.start()
    with Pump(scene, server):
        until(lambda: len(printed) > 3, "frames")
        server.close()  # ends its loop
    program.join(PATIENCE)
    assert not program.is_alive()
    assert [name for _, name in printed] == ["ribosome"] * len(printed)
    assert sorted({number for number, _ in printed}) == [number for number, _ in printed]
