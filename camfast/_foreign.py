"""Other libraries that read files: what they raise is about the file, and what they warn of and log is kept back."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar

from camfast._text import printable
from camfast.errors import CamfastError, InputError

LONGEST = 200
_UNCLEAR = (LookupError, TypeError, AttributeError, AssertionError, ArithmeticError, RecursionError, MemoryError)
_heard: ContextVar[list[str] | None] = ContextVar("heard", default=None)


class _Listener(logging.Filter):
    """Takes what is logged while a file is read, in the thread that reads it, and lets the rest pass."""

    def filter(self, record: logging.LogRecord) -> bool:
        heard = _heard.get()
        if heard is None:
            return True
        heard.append(record.getMessage())
        return False


_LISTENER = _Listener()


def reason(error: BaseException) -> str:
    """What an exception says, on a line that is not too long; with its name where the text alone says little."""
    text = printable(" ".join(str(error).split()))
    if not text or isinstance(error, _UNCLEAR):
        text = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return short(text)


def short(text: str) -> str:
    """A text that a file gave, as long as a message can bear."""
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


@contextmanager
def foreign(before: str, after: str, *loggers: str, warns: bool = True) -> Iterator[list[str]]:
    """Within the block, an exception of another library becomes an `InputError`; its warnings and logs are kept back.

    Parameters
    ----------
    before, after
        What the message says in front of the library's reason, which file it is, and behind it, what to do.
    loggers
        Names of the library's loggers.
    warns
        Whether the library may warn. Filters of warnings belong to all threads: False where several read at once.

    Yields
    ------
    list of str
        What was logged.

    Raises
    ------
    InputError
        Where anything is raised that is not camfast's.
    """
    for name in loggers:
        logging.getLogger(name).addFilter(_LISTENER)  # of no effect the second time, or outside such a block
    heard: list[str] = []
    token = _heard.set(heard)
    try:
        with warnings.catch_warnings(action="ignore") if warns else nullcontext():
            yield heard
    except CamfastError:
        raise
    except Exception as error:
        raise InputError(f"{before} ({reason(error)}); {after}") from error
    finally:
        _heard.reset(token)
