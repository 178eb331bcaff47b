"""What a person writes to name a source: ``kind:place?option=value&option=value``."""

import math
import re
from dataclasses import dataclass
from urllib.parse import parse_qsl

from camfast.errors import InputError

_OPTIONS = re.compile(r"\?([A-Za-z]\w*=[^?&]*(?:&[A-Za-z]\w*=[^?&]*)*)$")
_FLAGS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


@dataclass(frozen=True)
class Spec:
    """A source's name, taken apart.

    Attributes
    ----------
    text : str
        All of it.
    kind : str
        What stands before the first colon.
    place : str
        What stands between that and the options.
    options : dict of str
        What follows the last question mark, where it looks like options: in a file's name ``?`` is any one letter.
    """

    text: str
    kind: str
    place: str
    options: dict[str, str]

    @classmethod
    def of(cls, text: str) -> "Spec":
        """Take a text apart.

        Examples
        --------
        >>> spec = Spec.of("watch:run1/*.tif?volume=1")
        >>> spec.kind, spec.place, spec.options
        ('watch', 'run1/*.tif', {'volume': '1'})
        """
        kind, _, rest = text.partition(":")
        found = _OPTIONS.search(rest)
        options = dict(parse_qsl(found[1], keep_blank_values=True)) if found else {}
        return cls(text, kind, rest[: found.start()] if found else rest, options)

    def check_options(self, *known: str) -> None:
        """Make sure that there are no other options; InputError names those that there are."""
        for name in self.options:
            if name not in known:
                there = f"it has {', '.join(known)}" if known else "it has none"
                raise InputError(f"{self.text}: unknown option {name!r} of a source {self.kind}; {there}")

    def flag(self, name: str) -> bool:
        """Return an option that is 1 or 0; False where it isn't given."""
        value = self.options.get(name, "0").lower()
        if value not in _FLAGS:
            raise InputError(f"{self.text}: {name} must be 1 or 0, found {value!r}")
        return _FLAGS[value]

    def number(self, name: str) -> float | None:
        """Return an option that is a finite number; None where it isn't given."""
        if name not in self.options:
            return None
        try:
            value = float(self.options[name])
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise InputError(f"{self.text}: {name} must be a number, found {self.options[name]!r}")
        return value

    def whole(self, name: str, default: int) -> int:
        """Return an option that is a whole number from 0."""
        value = self.options.get(name, str(default))
        if not (value.isascii() and value.isdigit()):
            raise InputError(f"{self.text}: {name} must be a whole number from 0, found {value!r}")
        return int(value)
