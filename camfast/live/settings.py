"""What people change while frames arrive."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from numbers import Integral, Real
from typing import Any

from camfast.errors import InputError
from camfast.methods import methods as known_methods
from camfast.ops.colormaps import COLORMAPS


@dataclass(frozen=True)
class Choices:
    """What can be chosen from.

    Attributes
    ----------
    classes : tuple of str
        Name of each class, in their order; its number where it has none. Empty before the first frame.
    layers : tuple of str
        Dotted names.
    methods : tuple of str
        Names of `camfast.methods`.
    colormaps : tuple of str
        Of `camfast.ops.overlay`.
    """

    classes: tuple[str, ...]
    layers: tuple[str, ...]
    methods: tuple[str, ...] = known_methods()
    colormaps: tuple[str, ...] = tuple(COLORMAPS)


@dataclass(frozen=True)
class Settings:
    """What is shown, and how. All who watch share it.

    Attributes
    ----------
    layer : str
        Dotted name of the layer that is explained.
    method : str
        A name of `camfast.methods`.
    target : int or "predicted"
        The class that is explained.
    alpha : float
        Opacity of the colours: 0 shows the frame alone, 1 the map alone.
    threshold : float
        Share of the colours' scale below which the frame is shown alone: 0 hides nothing.
    colormap : str
        Of `camfast.ops.overlay`.
    """

    layer: str
    method: str = "gradcam"
    target: int | str = "predicted"
    alpha: float = 0.5
    threshold: float = 0.0
    colormap: str = "jet"

    def changed(self, choices: Choices, changes: Mapping[str, Any]) -> "Settings":
        """Return the settings with some fields changed, as a person or a program asked for it.

        Raises
        ------
        InputError
            If a field isn't one of these, or its value none of the choices; the message names both.
        """
        fields = asdict(self)
        checked: dict[str, Any] = {}
        for name, value in changes.items():
            if name not in fields:
                raise InputError(f"unknown setting {name!r}; known are {', '.join(fields)}")
            if name == "target":
                checked[name] = _target(value, len(choices.classes))
            elif name in ("alpha", "threshold"):
                checked[name] = _share(name, value)
            else:
                checked[name] = _choice(name, value, getattr(choices, f"{name}s"))
        return replace(self, **checked)


def _target(value: Any, classes: int) -> int | str:
    if isinstance(value, str) and value == "predicted":
        return value
    if _is_a(Integral, value) and 0 <= value < (classes or math.inf):
        return int(value)
    last = f" to {classes - 1}" if classes else " on"
    raise InputError(f"target must be 'predicted' or a class from 0{last}, found {value!r}")


def _share(name: str, value: Any) -> float:
    if _is_a(Real, value) and 0 <= value <= 1:
        return float(value)
    raise InputError(f"{name} must be a number from 0 to 1, found {value!r}")


def _choice(name: str, value: Any, known: Sequence[str]) -> str:
    if isinstance(value, str) and value in known:
        return value
    raise InputError(f"{name} must be one of {', '.join(known)}; found {value!r}")


def _is_a(kind: type, value: Any) -> bool:
    """Whether a value is a number of a kind, such as numpy's; true and false are none."""
    return isinstance(value, kind) and not isinstance(value, bool)
