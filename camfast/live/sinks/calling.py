"""Overlays for a function of the caller."""

import logging
from collections.abc import Callable

from camfast.live.clock import Seldom
from camfast.live.shown import Shown

log = logging.getLogger("camfast.live")


class CallbackSink:
    """Calls a function with each overlay, in the pipeline's thread: what it takes, the next frame waits for.

    Parameters
    ----------
    function
        Called with a `Shown`, whose arrays are valid until it returns. What it returns is ignored.
    name
        For messages; "": the function's own.
    fatal
        Whether an exception of the function ends the session; else it is logged with its traceback, once a second at
        most, and the next overlay is tried.

    Attributes
    ----------
    failed : int
        Calls that raised.
    failure : str
        What the last call raised, or "".

    Examples
    --------
    >>> sink = CallbackSink(lambda shown: print(shown.target, shown.scores.max()))
    >>> sink.name, sink.failed
    ('<lambda>', 0)
    """

    def __init__(self, function: Callable[[Shown], object], name: str = "", *, fatal: bool = False) -> None:
        self.name = name or getattr(function, "__name__", type(function).__name__)
        self.failed = 0
        self.failure = ""
        self._function, self._fatal = function, fatal
        self._seldom = Seldom()

    def put(self, shown: Shown) -> None:
        """Call the function."""
        try:
            self._function(shown)
        except Exception as error:  # a caller's own, whatever it is
            self.failed += 1
            self.failure = f"{self.name}: {type(error).__name__}: {error}"
            if self._fatal:
                raise
            if self._seldom.is_time():
                log.exception("%s failed, %d times so far", self.name, self.failed)
        else:
            self.failure = ""

    def close(self) -> None:
        """Nothing is kept."""
