"""The command ``camfast``: a thin shell over the library, one module a command."""

import argparse
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import NoReturn

from camfast._interrupt import INTERRUPTED, forget_interrupts, interrupt, was_interrupted
from camfast._text import printable
from camfast._version import __version__
from camfast.cli import checks, demo, explain, info, live, scan, slurm, view
from camfast.errors import CamfastError

DONE, FAILED, BAD_INPUT = 0, 1, 2
_ENDING_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    0 done; 2 bad usage or input, said in one line on standard error; 1 a failure of the program; 130 interrupted.
    """
    options = parser().parse_args(arguments)
    with warnings.catch_warnings(), _terminated_like_interrupted():
        warnings.showwarning = _show_warning
        try:
            options.run(options)
            print(end="", flush=True)
        except KeyboardInterrupt as interrupted:
            return _end(options, f"interrupted; {str(interrupted) or 'no partial output was left'}", INTERRUPTED)
        except BrokenPipeError:  # whoever reads standard output has read enough, as head does
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        except CamfastError as error:
            return _end(options, f"error: {checks.at_the_shell(str(error))}", BAD_INPUT)
        except Exception as error:
            if was_interrupted():  # and code in C has made this of it
                return _end(options, "interrupted; no partial output was left", INTERRUPTED)
            text = f"failed: {type(error).__name__}: {error} (--debug shows where)"
            return _end(options, text, FAILED)
    return DONE


@contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """Let a job that a cluster's scheduler ends, or whose terminal is closed, clean up as after Ctrl-C."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in _ENDING_SIGNALS}
    said = sys.unraisablehook
    # in a callback that may raise nothing Python prints the exception and drops it, and the scan finds it out;
    # what was being built when it came, such as an event loop, complains too when it goes
    sys.unraisablehook = lambda lost: None if was_interrupted() else said(lost)
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:  # nohup stays nohup
            signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        sys.unraisablehook = said
        forget_interrupts()  # of this command: another one may run in the same process


def _end(options: argparse.Namespace, text: str, code: int) -> int:
    if options.debug:
        traceback.print_exc()
    with suppress(OSError):  # the terminal may be gone
        print(f"camfast: {printable(' '.join(text.split()))}", file=sys.stderr)
    return code


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    if was_interrupted():  # of what was left undone
        return
    print(f"camfast: warning: {printable(' '.join(str(message).split()))}", file=sys.stderr)


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, instead of the whole usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(BAD_INPUT, f"camfast: error: {message} ({self.prog} --help lists the options)\n")


def parser() -> argparse.ArgumentParser:
    """Build the parser of the command line, with all commands."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--quiet", action="store_true", help="print errors and warnings only")
    common.add_argument("--json", action="store_true", help="print the result as one JSON object, and no progress")
    common.add_argument("--debug", action="store_true", help="show the traceback of an error")
    top = _Parser(
        prog="camfast",
        description="Class activation maps of networks for images, volumes and whole tomograms.",
        epilog="Exit codes: 0 done, 2 bad usage or input, 1 a failure of the program, 130 interrupted.",
    )
    top.add_argument("--version", action="version", version=f"camfast {__version__}")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in (demo, explain, scan, slurm, view, live, info):
        command.add(commands, common)
    return top
