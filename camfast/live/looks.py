"""How frames become overlays, whatever their shape: pipelines that are made when they are first needed."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from camfast.depths import depths
from camfast.engine import Explainer
from camfast.errors import InputError
from camfast.live.clock import Notice, Seldom
from camfast.live.frames import Frame
from camfast.live.pipeline.overlay import Overlay
from camfast.live.pipeline.preparing import Levels, fixed_levels
from camfast.live.settings import Choices, Settings
from camfast.models import Preprocess

log = logging.getLogger("camfast.live")

_KEPT = 4


@dataclass(frozen=True)
class Looks:
    """How frames become overlays, whatever their shape; see `Overlay`.

    Attributes
    ----------
    explainer : Explainer
        Of one layer; the layers and methods that are chosen later get the same options.
    preprocess : Preprocess or None
        What a picture needs before the network.
    labels : sequence of str or None
        Names of the classes.
    levels : "auto", (black, white) or None
        Of the frames.
    name : str
        Of the model, to be shown.
    """

    explainer: Explainer
    preprocess: Preprocess | None = None
    labels: Sequence[str] | None = None
    levels: Levels = None
    name: str = ""

    def __post_init__(self) -> None:
        fixed_levels(self.levels, "uint16")  # says what is wrong with them


class Overlays:
    """The pipelines of a session, one for each kind of frame, layer and method; the last few are kept.

    Parameters
    ----------
    looks
        How frames become overlays.

    Attributes
    ----------
    choices : Choices
        What the settings can be; the classes and layers of a network are known from the first frame on.
    form : tuple or None
        Shape and dtype of the last frame.
    notice : Notice
        Says that frames have changed.
    """

    def __init__(self, looks: Looks) -> None:
        if not isinstance(looks.explainer.layer, str):
            raise InputError("a live overlay shows one layer: give an explainer of a single one")
        self._looks, self.notice, self._seldom = looks, Notice(), Seldom()
        self.choices = Choices((), (looks.explainer.layer,))
        self.form: tuple[tuple[int, ...], str] | None = None
        self._known = False
        self._kept: dict[Any, Overlay] = {}
        self._last: Overlay | None = None

    def of(self, frame: Frame, settings: Settings) -> Overlay:
        """Return the pipeline for such frames and settings."""
        form = (frame.data.shape, frame.data.dtype.name)
        if form != self.form:
            if self.form is not None:
                text = f"frames are now {form[1]} {form[0]}, after {self.form[1]} {self.form[0]}"
                self.notice.say(text)
                if self._seldom.is_time():
                    log.info("%s", text)
            self.form = form
        key = (*form, frame.volume, settings.layer, settings.method)
        overlay = self._kept.pop(key, None)
        if overlay is None:
            overlay = self._made(frame, settings)
            while len(self._kept) >= _KEPT:
                del self._kept[next(iter(self._kept))]
        self._kept[key] = overlay  # the one used last is the last to go
        if overlay is not self._last:
            overlay.forget()  # what its scales followed is long ago
            self._last = overlay
        overlay.target = settings.target
        overlay.alpha, overlay.threshold, overlay.colormap = settings.alpha, settings.threshold, settings.colormap
        return overlay

    def _made(self, frame: Frame, settings: Settings) -> Overlay:
        looks = self._looks
        explainer = looks.explainer
        if (settings.layer, settings.method) != (explainer.layer, explainer.method):
            own = {} if settings.method == explainer.method else {"relu": None}  # as the other method does
            explainer = explainer.replace(layer=settings.layer, method=settings.method, **own)
        overlay = Overlay(
            explainer,
            frame.data.shape,
            frame.data.dtype.name,
            preprocess=None if frame.volume else looks.preprocess,
            volume=frame.volume,
            levels=looks.levels,
        )
        if not self._known:
            self.choices, self._known = replace(self.choices, **_found(overlay, looks)), True
            if looks.labels is not None and len(looks.labels) != overlay.classes:
                log.warning("there are %d names for %d classes", len(looks.labels), overlay.classes)
        return overlay


def _found(overlay: Overlay, looks: Looks) -> Mapping[str, tuple[str, ...]]:
    """The classes and layers of a network, once a frame says what it takes."""
    labels = [] if looks.labels is None else [str(label) for label in looks.labels][: overlay.classes]
    classes = [*labels, *map(str, range(len(labels), overlay.classes))]
    explainer = looks.explainer
    layers = depths(explainer.model, overlay.example, overlay.example.ndim - 2, explainer.arguments["output"])
    if overlay.layer not in layers:
        layers.append(overlay.layer)
    return {"classes": tuple(classes), "layers": tuple(layers)}
