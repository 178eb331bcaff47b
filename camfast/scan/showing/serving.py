"""Serving folders to one web page on this machine: read-only, some named folders and nothing else."""

import re
import sys
import threading
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote, urlsplit

from camfast.errors import InputError

HOST = "127.0.0.1"
_OWN_NAMES = (HOST, "localhost")
_PIECE = 1 << 20
_MOST = 64  # connections at once; a browser opens six
_SILENCE = 20.0  # seconds in which a request has to go on, or an answer to be read


class FolderServer(ThreadingHTTPServer):
    """Folders under the names they are given, for pages of one origin, on the loopback interface.

    Parts of files may be asked for (``Range``), as viewers of Zarr shards do. Requests that were led here under another
    host's name are refused, and so is whatever lies outside of the folders, also behind a symbolic link.

    Parameters
    ----------
    folders
        By name, which is the first part of the path of an address.
    origin
        Scheme and host of the pages that may read them, such as ``https://neuroglancer-demo.appspot.com``.
    port
        To listen at; 0 for any that is free.

    Raises
    ------
    InputError
        If the port is taken, or may not be used.
    """

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = _MOST  # connections that come at once wait a moment, and not a second or more each

    def __init__(self, folders: Mapping[str, Path], origin: str, port: int = 0) -> None:
        self.folders = {name: path.resolve() for name, path in folders.items()}
        self.origin = origin
        self._places = threading.BoundedSemaphore(_MOST)
        try:
            super().__init__((HOST, port), _Handler)
        except (OSError, OverflowError) as error:
            raise InputError(f"port {port} cannot be used ({error}); give another, or 0 for any that is free") from None

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer what comes over a connection, in a thread of its own; those beyond the most are closed at once."""
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing of connections that break or are silent."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"http://{HOST}:{self.server_port}"

    def find(self, path: str) -> Path | None:
        """Return the file that a request's path names; None where it is none of a folder's files."""
        name, *parts = unquote(urlsplit(path).path).split("/")[1:] or [""]
        if name not in self.folders or any(part in ("", ".", "..") or set(part) & set("\\\0") for part in parts):
            return None
        file = self.folders[name].joinpath(*parts).resolve()
        return file if file.is_relative_to(self.folders[name]) and file.is_file() else None


class _Handler(BaseHTTPRequestHandler):
    server: FolderServer
    protocol_version = "HTTP/1.1"
    timeout = _SILENCE

    def do_GET(self) -> None:
        """Send a file, or a part of it."""
        self._answer(body=True)

    def do_HEAD(self) -> None:
        """Send what is to be known of a file."""
        self._answer(body=False)

    def do_OPTIONS(self) -> None:
        """Say what a page may ask for."""
        self.send_response(HTTPStatus.NO_CONTENT)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def end_headers(self) -> None:
        """Let pages of the one origin read the answer."""
        self.send_header("Vary", "Origin")
        if self.headers and self.headers.get("Origin") == self.server.origin:
            self.send_header("Access-Control-Allow-Origin", self.server.origin)
            self.send_header("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS")
            self.send_header("Access-Control-Allow-Headers", "Range")
            self.send_header("Access-Control-Expose-Headers", "Accept-Ranges, Content-Length, Content-Range")
            self.send_header("Access-Control-Allow-Private-Network", "true")
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing: a viewer asks for thousands of chunks."""

    def _answer(self, *, body: bool) -> None:
        if self.headers.get("Host", "").rpartition(":")[0] not in _OWN_NAMES:
            self.send_error(HTTPStatus.FORBIDDEN)
            return
        path = self.server.find(self.path)
        if path is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        try:
            with path.open("rb") as file:
                self._send(file, path.stat().st_size, body=body)
        except ConnectionError:  # the viewer has moved on
            self.close_connection = True

    def _send(self, file: BinaryIO, size: int, *, body: bool) -> None:
        span = _span(self.headers.get("Range"), size)
        if span is not None and not span:
            self.send_response(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
            self.send_header("Content-Range", f"bytes */{size}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(HTTPStatus.OK if span is None else HTTPStatus.PARTIAL_CONTENT)
        first, length = (0, size) if span is None else (span.start, len(span))
        if span is not None:
            self.send_header("Content-Range", f"bytes {span.start}-{span.stop - 1}/{size}")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header(
            "Content-Type", "application/json" if Path(self.path).suffix == ".json" else "application/octet-stream"
        )
        self.send_header("Content-Length", str(length))
        self.end_headers()
        if body:
            file.seek(first)
            while length and (piece := file.read(min(_PIECE, length))):
                self.wfile.write(piece)
                length -= len(piece)


def _span(header: str | None, size: int) -> range | None:
    """Bytes that are asked for; None for the whole file, an empty range where there are none such.

    Examples
    --------
    >>> _span("bytes=2-5", 10), _span("bytes=7-", 10), _span("bytes=-3", 10), _span("bytes=10-", 10), _span(None, 10)
    (range(2, 6), range(7, 10), range(7, 10), range(0, 0), None)
    """
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", header or "")
    if match is None or match[0] == "bytes=-":
        return None
    if not match[1]:
        return range(max(0, size - int(match[2])), size)
    first, last = int(match[1]), int(match[2]) if match[2] else size - 1
    if last < first and match[2]:
        return None
    return range(first, min(last + 1, size)) if first < size else range(0)
