"""``camfast live``: an overlay on a web page while frames arrive."""

import argparse
import gc
import logging
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from camfast._text import printable
from camfast.cli import inputs, network
from camfast.errors import InputError

if TYPE_CHECKING:
    from camfast.live import Looks, Session, Settings
    from camfast.live.serving import PageServer
    from camfast.models import Loaded, Preprocess

_SERVE = "127.0.0.1:8765"
_LOOK = 0.1


def add(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the command to the parser."""
    from camfast.live.sinks import SINKS
    from camfast.live.sources import SOURCES

    parser = commands.add_parser(
        "live",
        parents=[common],
        help="overlay on a web page while frames arrive",
        description="Show where a network looks, frame by frame, while a camera or a microscope\n"
        "gives them: on a web page, and in whatever else --sink names. Frames are never\n"
        "queued: the newest is shown, and those that it overtakes are counted as dropped.",
        epilog=_listed("sources", SOURCES) + "\n\n" + _listed("sinks", SINKS),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    parser.add_argument("--source", required=True, metavar="SOURCE", help="where frames come from, see below")
    parser.add_argument(
        "--serve", default=_SERVE, metavar="HOST:PORT", help=f"where the page is ({_SERVE}; 'none' for no page)"
    )
    parser.add_argument(
        "--sink", action="append", default=[], metavar="SINK", help="where overlays go besides, see below; repeatable"
    )
    parser.add_argument(
        "--for", dest="seconds", type=_seconds, metavar="SECONDS",
        help="end after so long (default: at Ctrl-C, or without a page at the end of a film)",
    )  # fmt: skip
    network.add_options(parser)
    inputs.add_picture_options(parser)
    looks = parser.add_argument_group("how frames are shown; the page can change all but the levels")
    looks.add_argument(
        "--levels",
        type=_levels,
        metavar="B,W",
        help="of black and white; reversed for a negative (0,255 for 8 bits, else auto)",
    )
    looks.add_argument("--alpha", type=network.number, default=0.5, metavar="A", help="opacity of the map (0.5)")
    looks.add_argument(
        "--threshold", type=network.number, default=0.0, metavar="T", help="hide the map below this share (0)"
    )
    looks.add_argument("--colormap", default="jet", help="jet (default), hot or gray")
    safety = parser.add_argument_group("who may look; without these, programs of this machine alone")
    safety.add_argument("--token", metavar="WORD", help="has to be known to open the page from another machine")
    safety.add_argument("--insecure", action="store_true", help="let anybody who reaches HOST look and change things")
    safety.add_argument(
        "--allow-host", action="append", default=[], metavar="NAME", help="another name of this machine; repeatable"
    )


def run(options: argparse.Namespace) -> None:
    """Show frames until the source ends, or somebody ends it."""
    from camfast.live import Session, open_sink, open_source
    from camfast.ops.threads import without_team

    address = _address(options.serve)
    source = open_source(options.source)
    with without_team():  # this thread will only wait
        looks, settings = _looks(options)
    about = {**network.origin(options.model, options.weights), "source": options.source, "classes": looks.labels}
    with _log(options):
        sinks = [open_sink(spec, about) for spec in options.sink]
        session = Session(source, looks, sinks, settings)
        page = None
        try:
            page = _page(options, session, address)
            session.start()
            gc.freeze()  # what is there now stays: looking through it again would hold frames up for tens of ms
            _watch(options, session, sinks, stays=page is not None)
        except KeyboardInterrupt:
            _be_patient()
            session.stop()
            if options.json:
                _show(options, session.status(), page)
            raise KeyboardInterrupt(_summary(session.status())) from None
        except Exception:
            if session.status()["arrived"] and not options.quiet:
                print(f"camfast: {printable(_summary(session.status()))}", file=sys.stderr)
            raise
        finally:
            session.stop()
    status = session.status()
    if not status["shown"] and (status["failed"] or status["broken"]):
        raise InputError(
            f"{status['source']}: no frame could be explained: {status['message']}; --size, --channels and --layer say "
            "what the network takes"
        )
    if not status["arrived"] and status["state"] == "failed":
        raise InputError(f"{status['source']}: {status['message']}")
    _show(options, status, page)


def _be_patient() -> None:
    """Let nobody interrupt what ends within seconds, and would lose its summary and what is still to be recorded."""
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)


def _show(options: argparse.Namespace, status: dict[str, Any], page: "PageServer | None") -> None:
    network.show(options, {**status, "page": page.name if page else None}, [_summary(status)])


def _page(options: argparse.Namespace, session: "Session", address: tuple[str, int] | None) -> "PageServer | None":
    """Serve the page, and say where it is."""
    if address is None:
        return None
    from camfast.live.serving import PageServer

    page = PageServer(
        session, *address, options.token, insecure=options.insecure, allow_hosts=options.allow_host
    )  # fmt: skip
    page.start()
    session.add(page)
    if not options.quiet:
        print(f"camfast: open {page.address} in a browser; Ctrl-C ends", file=sys.stderr, flush=True)
        if address[0] in ("0.0.0.0", "::"):
            print("camfast: on other machines put this machine's address in the place of that one", file=sys.stderr)
    return page


def _watch(options: argparse.Namespace, session: "Session", sinks: list[Any], *, stays: bool) -> None:
    """Wait for the end; in the event loop of a window, if a sink has one. The last frame of a source ``stays``."""
    limit = None if options.seconds is None else time.monotonic() + options.seconds
    windows = [sink for sink in sinks if hasattr(sink, "run_window")]

    def running() -> bool:
        ended = session.wait(0.0) and not (stays or windows)
        return not ended and (limit is None or time.monotonic() < limit)

    if windows:
        windows[0].run_window(running)
    while not windows and running():
        time.sleep(_LOOK)


def _looks(options: argparse.Namespace) -> "tuple[Looks, Settings]":
    """What the options say of network, map and colours."""
    from torch.nn import Conv2d

    from camfast.live import Choices, Looks, Settings

    loaded, layer = network.load_network(options)
    known = loaded.preprocess
    first = _first_convolution(loaded.module)
    if known is None and options.channels is None and first is not None and first.in_channels == 1:
        options.channels = "L"
    if known is not None or isinstance(first, Conv2d) or inputs.says_of_pictures(options):
        known = inputs.preprocess(options, known)
    labels = _labels(options, loaded, known)
    target = network.target_of(options.target, labels)
    if not isinstance(target, int) and target != "predicted":
        raise InputError(f"--target {options.target}: a live overlay shows one class; name one, or 'predicted'")
    explainer = network.make_explainer(options, loaded.module, layer)
    settings = Settings(layer, options.method, target).changed(
        Choices(labels or (), (layer,)),
        {"alpha": options.alpha, "threshold": options.threshold, "colormap": options.colormap},
    )
    return Looks(explainer, known, labels, options.levels, options.model), settings


def _first_convolution(module: Any) -> Any:
    """The convolution that says what the network takes."""
    return next((layer for layer in module.modules() if hasattr(layer, "in_channels")), None)


def _labels(options: argparse.Namespace, loaded: "Loaded", known: "Preprocess | None") -> tuple[str, ...] | None:
    """Names of the classes; how many the network has can be seen where its input's size is known."""
    import torch

    if known is None or known.size is None:
        return loaded.labels if options.labels is None else network.read_labels(options.labels)
    example = torch.zeros(1, 1 if known.channels == "L" else 3, *known.size, device=options.device)
    return network.labels_for(options, loaded, example)


def _summary(status: dict[str, Any]) -> str:
    latency = status["latency_ms"]
    times = ", ".join(f"{name} {value:.0f}" for name, value in latency.items() if value is not None)
    lost = "".join(f", {status[name]} {name}" for name in ("failed", "broken", "lost") if status[name])
    return (
        f"{status['source']}: {status['arrived']} frames, {status['shown']} shown, {status['dropped']} dropped{lost}"
        + (f"; ms from frame to overlay: {times}" if times else "")
        + "".join(f"; {name}: {note}" for name, note in status["sinks"].items())
    )


class _Printable(logging.Formatter):
    """Names of files and what senders say go into the log; a traceback keeps its lines."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record), keep="\n\t")


@contextmanager
def _log(options: argparse.Namespace) -> Iterator[None]:
    """Say on standard error what happens to the source."""
    log = logging.getLogger("camfast.live")
    handler = logging.StreamHandler()
    handler.setFormatter(_Printable("camfast: %(message)s"))
    level = log.level
    log.setLevel(logging.DEBUG if options.debug else logging.ERROR if options.quiet else logging.INFO)
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)


def _address(text: str) -> tuple[str, int] | None:
    if text == "none":
        return None
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise InputError(f"--serve {text}: expected HOST:PORT such as {_SERVE}, or 'none'")
    return host.strip("[]"), int(port)


def _seconds(text: str) -> float:
    seconds = network.number(text)
    if seconds <= 0:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected seconds, more than 0")
    return seconds


def _levels(text: str) -> Any:
    if text == "auto":
        return text
    values = network.numbers(text)
    if not isinstance(values, tuple) or len(values) != 2 or values[0] == values[1]:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected black,white, two different numbers, or 'auto'")
    return values


def _listed(kinds: str, texts: Mapping[str, str]) -> str:
    width = max(map(len, texts))
    return "\n".join([f"{kinds}:", *(f"  {spec:{width}}  {text}" for spec, text in texts.items())])
