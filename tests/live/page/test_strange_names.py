"""Names that are HTML, of classes, layers, frames and models on the live page: they are read, and nothing runs."""

from typing import Any

import pytest

from camfast.live.serving import PageServer
from camfast.live.settings import Choices, Settings
from tests import browsers
from tests.live.page.conftest import Opened
from tests.live.serving.fakes import FakeControl, Pump, Scene

pytestmark = pytest.mark.browser

IMAGE, SCRIPT = "<img src=x onerror='window.sprung = 1'>", "<script>window.sprung = 2</script>"
SVG = "\"><svg onload='window.sprung = 3'>"


class Strange(FakeControl):
    """A session whose every word is HTML."""

    def __init__(self) -> None:
        super().__init__((SCRIPT, IMAGE, SVG, "a", "b", *(f"{IMAGE}{i}" for i in range(100))))
        self.choices = Choices(self.choices.classes, (IMAGE, SCRIPT, SVG))
        self.settings = Settings(IMAGE)
        self.message = f"{SCRIPT} can't be shown"

    def status(self) -> dict[str, Any]:
        return {**super().status(), "source": SVG, "model": SCRIPT, "sinks": {IMAGE: {"recorded": 1, "error": SVG}}}


def test_names_that_are_html_are_read(chromium: Any) -> None:
    control = Strange()
    server = PageServer(control, port=0)
    server.start()
    with Pump(Scene(control, 64, name=IMAGE), server, fps=20):
        opened = Opened(chromium, server.address, browsers.TUBE)
        page = opened.page
        page.wait_for_selector("#empty", state="hidden")
        page.locator("#caption", has_text=IMAGE).wait_for()
        page.click("summary")
        field = page.locator("#class-search")
        field.click()
        field.press_sequentially("<sc")
        assert page.locator("#class-list [role=option]").all_text_contents() == [f"{SCRIPT}0"]
        field.press("Enter")
        page.locator("#scores button", has_text=SVG).click()
        opened.until(f"() => document.getElementById('overlay').ariaLabel.endsWith({SVG!r})")
        assert page.locator("#layer option").all_text_contents() == [IMAGE, SCRIPT, SVG]
        page.select_option("#layer", SCRIPT)
        page.locator("body", has_text="can't be shown").wait_for()
        text = page.locator("body").inner_text()
        assert text.count(SCRIPT) >= 2
        assert page.evaluate("window.sprung") is None
        assert page.locator("img[onerror], svg[onload], body script").count() == 0
        opened.context.close()
    server.close()
    assert opened.complaints == []
