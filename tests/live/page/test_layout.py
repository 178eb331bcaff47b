"""Nothing is cut off or too faint, on a phone and a microscope's screen, in light and dark."""

from dataclasses import replace
from typing import Any

import pytest

from camfast.live.serving import PageServer
from tests import browsers
from tests.live.page.conftest import CLASSES, Opened
from tests.live.serving.fakes import FakeControl, Scene

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("size", [browsers.PHONE, browsers.TUBE, (320, 568), (844, 390)])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits(chromium: Any, server: PageServer, control: FakeControl, size: tuple[int, int], scheme: str) -> None:
    control.message = "a message that is so long that it can't stand in one line of a phone, " * 2
    long = ("a name with all the synonyms that somebody found for it, " * 2, "a_name_without_any_place_to_break_it" * 3)
    control.choices = replace(control.choices, classes=(*long, *CLASSES[2:]), layers=("fire9", "a.layer" * 20))
    Scene(control).put(server)
    opened = Opened(chromium, server.address, size, color_scheme=scheme)
    opened.page.wait_for_selector("#empty", state="hidden")
    for click in ("#side", "#class-search"):
        opened.page.click(click)
        width, inner = opened.page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
        assert width <= inner == size[0]
        assert (
            opened.page.evaluate("""[...document.querySelectorAll("#controls, #controls *")]
            .filter((one) => one.getBoundingClientRect().right > innerWidth + 0.5).map((one) => one.outerHTML)""")
            == []
        )
    opened.page.keyboard.press("Escape")
    low = opened.page.evaluate(_CONTRASTS)
    assert low == []
    opened.context.close()


# Text whose contrast with what is behind it is less than 4.5 (WCAG AA): "text ratio" each.
_CONTRASTS = """() => {
    const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
    const luminance = ([r, g, b]) => [r, g, b].map((c) => c / 255)
        .map((c) => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
        .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
    const behind = (element) => {
        for (let at = element; at; at = at.parentElement) {
            const color = rgb(getComputedStyle(at).backgroundColor);
            if (color.length === 3 || color[3] > 0.5) return color;
        }
        return [255, 255, 255];
    };
    const found = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
        const element = node.parentElement;
        if (!node.data.trim() || !element.checkVisibility() || element.closest("button:disabled, option")) continue;
        const [one, other] = [rgb(getComputedStyle(element).color), behind(element)].map(luminance);
        const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
        if (ratio < 4.5) found.push(`${node.data.trim()} ${ratio.toFixed(2)}`);
    }
    return found;
}"""
