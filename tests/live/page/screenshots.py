"""Make the pictures of the page that stand in the documentation: ``python -m tests.live.page.screenshots``.

A network without training looks at a simulated camera: it compares the frame with spots of three sizes, and what it
finds is explained. Needs Playwright and Chromium, as the browser tests do.
"""

import io
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

import camfast
from camfast.live import Looks, Session, open_source
from camfast.live.serving import PageServer
from camfast.models import Preprocess
from tests import browsers

PICTURES = Path(__file__).resolve().parents[3] / "docs" / "pictures"
SOURCE, SIZE = "sim:768x768@10", 192
SIZES = {"small particles": 1.5, "medium particles": 3.0, "large particles": 4.8}  # σ in pixels of the network
LEVELS = (1200.0, 3700.0)


def particles() -> nn.Sequential:
    """Make a network that scores particles by their size: of the filters the one of a particle's σ answers most."""
    radius, count = 14, len(SIZES)
    filters = nn.Conv2d(1, count, 2 * radius + 1, padding=radius, padding_mode="replicate")
    rivals = nn.Conv2d(count, count, 1, bias=False)
    scores = nn.Linear(count, count + 1)
    with torch.no_grad():
        filters.weight[:] = torch.stack([_blob(sigma, radius) for sigma in SIZES.values()])[:, None]
        filters.bias[:] = -0.06  # the texture answers less
        rivals.weight[:] = (1.8 * torch.eye(count) - 0.8)[..., None, None]
        scores.weight[:] = 900 * torch.eye(count + 1, count)
        scores.bias[:] = torch.tensor([*[0.0] * count, 1.0])
    steps = {"filters": filters, "answers": nn.ReLU(), "rivals": rivals, "winners": nn.ReLU()}
    places = {"places": nn.AvgPool2d(4), "mean": nn.AdaptiveAvgPool2d(1), "flat": nn.Flatten(), "scores": scores}
    return nn.Sequential(OrderedDict(**steps, **places)).eval()


def _blob(sigma: float, radius: int) -> Tensor:
    """A negative Laplacian of a Gaussian, normalised by its scale: it sums to 0, and answers most to its own σ."""
    rows, columns = torch.meshgrid(*[torch.arange(-radius, radius + 1.0)] * 2, indexing="ij")
    squares = (rows**2 + columns**2) / (2 * sigma**2)
    blob = (1 - squares) * torch.exp(-squares) / (torch.pi * sigma**2)
    return blob - blob.mean()


def main() -> None:
    """Open the page three times, and keep what is seen."""
    preprocess = Preprocess((SIZE, SIZE), "L")
    explainer = camfast.Explainer(particles(), "places", "gradcam")
    looks = Looks(explainer, preprocess, [*SIZES, "nothing"], LEVELS, "filters of three sizes")
    session = Session(open_source(SOURCE), looks)
    server = PageServer(session, port=0)
    server.start()
    session.add(server)
    session.change({"threshold": 0.15, "alpha": 0.6})
    with session, browsers.browser() as chromium:
        _keep(chromium, server, "live.png", (1060, 720), "light", ["]"])
        _keep(chromium, server, "live_dark.png", browsers.TUBE, "dark", ["f"])
        _keep(chromium, server, "live_phone.png", browsers.PHONE, "light", [])
    server.close()


def _keep(chromium: Any, server: PageServer, name: str, size: tuple[int, int], scheme: str, keys: list[str]) -> None:
    context = chromium.new_context(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)
    page = context.new_page()
    page.goto(server.address)
    page.wait_for_selector("#empty", state="hidden")
    for key in keys:
        page.keyboard.press(key)
    if "f" in keys:
        page.wait_for_selector("#frame-side", state="visible")
    page.wait_for_function("() => Number(document.getElementById('shown').textContent) > 60")
    page.wait_for_function("() => Number(document.getElementById('page-fps').textContent) > 9")
    shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    box = page.locator("#pictures").bounding_box()
    corners = [round(place) for place in (box["x"], box["y"], box["x"] + box["width"], box["y"] + box["height"])]
    picture = shot.crop(corners).point(lambda level: min(255, 8 * round(level / 8)))  # its noise in fewer bytes
    shot.paste(picture, corners[:2])
    shot.save(PICTURES / name, optimize=True)
    context.close()


if __name__ == "__main__":
    main()
