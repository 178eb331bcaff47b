"""The addresses that are answered: the page's own files and its websocket, and nothing else."""

import logging
from collections.abc import Awaitable, Callable, MutableMapping
from importlib.resources import files
from typing import Any

from camfast._extras import require
from camfast.live.serving.access import HEADERS, Access, Refusal, headers_of
from camfast.live.serving.client import Client, Line
from camfast.live.serving.hub import Hub

_Scope = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[Any]]
_Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
_Application = Callable[[_Scope, _Receive, _Send], Awaitable[None]]

log = logging.getLogger("camfast.live")

SOCKET = "/socket"
_SCRIPT, _STYLE = "text/javascript; charset=utf-8", "text/css; charset=utf-8"
FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/live.css": ("live.css", _STYLE),
    "/live.js": ("live.js", _SCRIPT),
    "/connection.js": ("connection.js", _SCRIPT),
    "/picture.js": ("picture.js", _SCRIPT),
    "/classes.js": ("classes.js", _SCRIPT),
    "/snapshot.js": ("snapshot.js", _SCRIPT),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
"""All that can be had: address, name in the folder ``web``, type."""

# The page asks for itself again instead of being redirected: a cookie that is Strict isn't sent with a redirect that
# started on a page elsewhere, such as a notebook's link.
_WELCOME = b"<!doctype html><meta http-equiv=refresh content='0; url=/'><title>camfast live</title>"


def application(hub: Hub, access: Access, cookie: str, line: Callable[[tuple[str, int]], Line | None]) -> _Application:
    """Make the application of ASGI.

    Parameters
    ----------
    hub
        Where clients watch.
    access
        Who is let in.
    cookie
        Name of the cookie that holds the token.
    line
        Finds the connection from a client's address; None where it has gone.
    """
    routing = require("starlette.routing", "live", "serving a page")
    responses = require("starlette.responses", "live", "serving a page")
    folder = files("camfast.live.serving") / "web"

    def file_route(path: str, name: str, kind: str) -> Any:
        content = (folder / name).read_bytes()

        async def answer(_: Any) -> Any:
            return responses.Response(content, media_type=kind)

        return routing.Route(path, answer, methods=["GET"])

    async def watch(socket: Any) -> None:
        below = line(tuple(socket.scope["client"]))
        if below is not None:  # else it has gone already
            await socket.accept()
            await hub.serve(Client(socket, below, hub))

    routes = [file_route(path, *file) for path, file in FILES.items()]
    router = routing.Router([*routes, routing.WebSocketRoute(SOCKET, watch)], redirect_slashes=False)
    return _guarded(router, access, cookie)


def _guarded(inner: _Application, access: Access, cookie: str) -> _Application:
    async def answer(scope: _Scope, receive: _Receive, send: _Send) -> None:
        async def send_with_headers(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *_encoded(HEADERS)]
            await send(message)

        headers = headers_of(scope)
        if scope["type"] == "websocket":
            if access.socket_refusal(headers, cookie) is None:
                await _logged(inner, scope, receive, send)
            else:
                await send({"type": "websocket.close"})  # before it was accepted: 403
            return
        refusal = access.refusal(headers, cookie)
        token = access.offered(scope["query_string"].decode("latin-1")) if scope["path"] == "/" else None
        if token is not None and (refusal is None or refusal.status == 401):
            await _welcome(send_with_headers, f"{cookie}={token}")
        elif refusal is not None:
            await _refuse(send_with_headers, refusal)
        else:
            await _logged(inner, scope, receive, send_with_headers)

    return answer


async def _logged(inner: _Application, scope: _Scope, receive: _Receive, send: _Send) -> None:
    """Say what went wrong here; uvicorn, which would, says nothing, as it says as much of what visitors do."""
    try:
        await inner(scope, receive, send)
    except Exception:
        log.exception("the page's server failed for %s", scope["path"])
        raise


async def _welcome(send: _Send, cookie: str) -> None:
    headers = {"Content-Type": "text/html", "Set-Cookie": f"{cookie}; HttpOnly; SameSite=Strict; Path=/"}
    await send({"type": "http.response.start", "status": 200, "headers": _encoded(headers)})
    await send({"type": "http.response.body", "body": _WELCOME})


async def _refuse(send: _Send, refusal: Refusal) -> None:
    headers = {"Content-Type": "text/plain; charset=utf-8"}
    await send({"type": "http.response.start", "status": refusal.status, "headers": _encoded(headers)})
    await send({"type": "http.response.body", "body": f"{refusal.reason}\n".encode()})


def _encoded(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.encode()) for name, value in headers.items()]
