"""Who may open the page: names of this machine, the token, pages of the same origin."""

import hmac
import ipaddress
import string
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlsplit

from camfast.errors import InputError

SHORTEST_TOKEN = 8
_TOKEN_LETTERS = frozenset(string.ascii_letters + string.digits + "-._~")  # stand in a URL and a cookie as they are
_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""Go out with every answer: the page loads its own files only, stands in no other page, and stays in no cache."""


class OpenToAllWarning(UserWarning):
    """Whoever reaches this machine can see what is shown and change its settings."""


@dataclass(frozen=True)
class Refusal:
    """Why a request gets nothing.

    Attributes
    ----------
    status : int
        Of HTTP.
    reason : str
        What was found, and what to do.
    """

    status: int
    reason: str


class Access:
    """Decides about requests, for `camfast.live.serving.server.PageServer`, whose parameters these are.

    Raises
    ------
    InputError
        If an address other than loopback has no token and isn't meant to go without, or the token is too simple.
    """

    def __init__(
        self, host: str, token: str | None = None, *, insecure: bool = False, allow_hosts: Iterable[str] = ()
    ) -> None:
        if token is not None and (len(token) < SHORTEST_TOKEN or not _TOKEN_LETTERS.issuperset(token)):
            raise InputError(
                f"a token has {SHORTEST_TOKEN} characters or more, all letters, digits or one of '-._~'; "
                f"found {len(token)} characters"
            )
        address = _address(host)
        loopback = host.lower() == "localhost" or (address is not None and address.is_loopback)
        if not loopback and token is None:
            if not insecure:
                raise InputError(
                    f"{host} can be reached from other machines: give a token (--token), stay on 127.0.0.1 and use "
                    "an ssh tunnel, or say that everybody may look and change settings (--insecure)"
                )
            warnings.warn(
                f"everybody who reaches {host} can see what is shown and change its settings",
                OpenToAllWarning,
                stacklevel=3,
            )
        self._token = token
        self._any_address = address is not None and address.is_unspecified
        self._hosts = _LOOPBACK_NAMES | {host.lower()} | {_checked_name(name) for name in allow_hosts}

    def refusal(self, headers: Mapping[str, str], cookie: str) -> Refusal | None:
        """Return why a request of HTTP is refused, or None.

        Parameters
        ----------
        headers
            By their names in small letters.
        cookie
            Name of the cookie that holds the token.
        """
        name = _host_name(headers.get("host", ""))
        # A page elsewhere can give its own name the address of this machine, and would then be of the same origin:
        # only names that nobody else can own are let in. An address can't be given away like that.
        if name not in self._hosts and not (self._any_address and _address(name) is not None):
            return Refusal(403, f"the host name {name!r} isn't known here: start camfast with --allow-host for it")
        if self._token is not None and not self.knows(_given_token(headers, cookie)):
            return Refusal(401, "a token is needed: open the address that camfast printed, with ?token= in it")
        return None

    def socket_refusal(self, headers: Mapping[str, str], cookie: str) -> Refusal | None:
        """Return why a websocket is refused, or None: a page of another origin may open none."""
        origin = headers.get("origin")
        if origin is not None and _netloc(origin) != headers.get("host", "").lower():
            return Refusal(403, f"a page from {origin!r} can't look at {headers.get('host', '')!r}")
        return self.refusal(headers, cookie)

    def knows(self, token: str | None) -> bool:
        """Whether this is the token, in a time that doesn't tell how much of it is right."""
        return self._token is not None and hmac.compare_digest((token or "").encode(), self._token.encode())

    def offered(self, query: str) -> str | None:
        """Return the right token where the query of an address holds it: it is to become a cookie."""
        tokens = parse_qs(query).get("token", [])
        return tokens[0] if tokens and self.knows(tokens[0]) else None


def headers_of(scope: Mapping[str, Any]) -> dict[str, str]:
    """Read the headers of an ASGI scope; of several with one name the last counts."""
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}


def _given_token(headers: Mapping[str, str], cookie: str) -> str | None:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    try:
        morsel = SimpleCookie(headers.get("cookie", "")).get(cookie)
    except CookieError:
        return None
    return None if morsel is None else morsel.value


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _host_name(host: str) -> str:
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def _checked_name(name: str) -> str:
    """Read a name that is to be let in; a port behind it is of no matter."""
    if "/" in name or not _host_name(name):
        raise InputError(f"allow_hosts are names such as 'microscope.example.org', found {name!r}")
    return _host_name(name)


def _netloc(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return None
