"""Ctrl-C: one line while the command is still being imported, and never lost later on."""

import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

INTERRUPTED = 130
_CAN_WAIT = hasattr(signal, "setitimer")  # Windows has none
_WAIT = 0.05  # seconds until it is looked again whether an import has ended
_came: list[int] = []


def end_in_one_line() -> None:
    """Do so where this process is the command ``camfast``; a program that imports camfast keeps its own ways."""
    started_as = list(zip(sys.orig_argv, sys.orig_argv[1:], strict=False))
    by_module = sys.argv[:1] == ["-m"] and ("-m", "camfast") in started_as
    by_script = bool(sys.argv) and Path(sys.argv[0]).stem == "camfast"
    in_main_thread = threading.current_thread() is threading.main_thread()
    if (by_module or by_script) and in_main_thread and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def interrupt(number: int, frame: FrameType | None) -> None:
    """Handle a signal as Python does Ctrl-C, and remember it: code in C may make another error of the exception.

    While something is imported it waits: a module in C++ that meets an exception there may abort the process.

    Raises
    ------
    KeyboardInterrupt
        When nothing is being imported.
    """
    _came.append(number)
    if _CAN_WAIT and _imports(frame):
        signal.signal(signal.SIGALRM, interrupt)
        signal.setitimer(signal.ITIMER_REAL, _WAIT)
    else:
        raise KeyboardInterrupt


def _imports(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def was_interrupted() -> bool:
    """Whether a signal has come that `interrupt` handled."""
    return bool(_came)


def check_interrupted() -> None:
    """Raise the exception again that was lost: some callbacks may raise none, and print or drop it.

    Raises
    ------
    KeyboardInterrupt
        If a signal has come.
    """
    if _came:
        raise KeyboardInterrupt


def forget_interrupts() -> None:
    """Begin anew, where a command has ended and the process goes on."""
    if _CAN_WAIT and signal.getsignal(signal.SIGALRM) is interrupt:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
    _came.clear()


def _end(*_: Any) -> None:
    # There is nothing to clean up yet, and an exception could be swallowed by one of the modules being imported.
    os.write(2, b"camfast: interrupted\n")
    os._exit(INTERRUPTED)


end_in_one_line()
