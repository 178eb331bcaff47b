"""Progress of what takes long, for the person who waits."""

import sys
from collections.abc import Iterable, Iterator
from typing import Self, TypeVar

from camfast._extras import require

_Step = TypeVar("_Step")


class Bar:
    """A bar on standard error for the person who waits, or nothing.

    Parameters
    ----------
    total
        How many steps there are.
    what
        The title.
    shown
        Whether there is a bar at all.
    unit
        What is counted, in thousands and millions where there are many; None: steps.
    """

    def __init__(self, total: int, what: str, *, shown: bool, unit: str | None = None) -> None:
        self._bar = None
        if shown:
            tqdm = require("tqdm", "scan", "a progress bar")
            interval = 0.1 if sys.stderr.isatty() else 10.0  # in a log file a lively bar is a flood
            counted = {} if unit is None else {"unit": unit, "unit_scale": True}
            self._bar = tqdm.tqdm(total=total, desc=what, dynamic_ncols=True, mininterval=interval, **counted)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def update(self, count: int = 1) -> None:
        """Count so many steps as done."""
        if self._bar is not None:
            self._bar.update(count)

    def over(self, steps: Iterable[_Step]) -> Iterator[_Step]:
        """Count each step once it is done."""
        for step in steps:
            yield step
            self.update()
