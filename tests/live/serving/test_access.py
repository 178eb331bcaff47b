"""Who is let in."""

import pytest

from camfast.errors import InputError
from camfast.live.serving.access import Access, OpenToAllWarning

TOKEN = "k3y-of_8.letters~"


def _status(access: Access, **headers: str) -> int | None:
    refusal = access.refusal({name.replace("_", "-"): value for name, value in headers.items()}, "c")
    return None if refusal is None else refusal.status


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost", "LOCALHOST"])
def test_loopback_needs_nothing(host: str) -> None:
    assert _status(Access(host), host="localhost:8765") is None


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "microscope", "", "127.0.0.1.example.org"])
def test_other_addresses_need_a_token_or_a_warning(host: str) -> None:
    with pytest.raises(InputError, match=r"--token.*--insecure"):
        Access(host)
    with pytest.warns(OpenToAllWarning, match="everybody"):
        Access(host, insecure=True)
    Access(host, TOKEN)


@pytest.mark.parametrize("token", ["", "short", "with space here", "semi;colon;semi", "näh-näh-näh"])
def test_tokens_are_long_and_plain(token: str) -> None:
    with pytest.raises(InputError, match="8 characters or more"):
        Access("127.0.0.1", token)


@pytest.mark.parametrize(
    ("name", "let_in"),
    [
        ("localhost:8765", True),
        ("localhost", True),
        ("LocalHost.:9000", True),
        ("127.0.0.1:8765", True),
        ("[::1]:8765", True),
        ("view.example.org", True),
        ("evil.example.org:8765", False),
        ("localhost.evil.org", False),
        ("192.168.1.7:8765", False),
        ("", False),
        ("[", False),
        ("localhost@evil.org", False),
    ],
)
def test_only_known_names_are_let_in(name: str, let_in: bool) -> None:
    access = Access("127.0.0.1", allow_hosts=["View.Example.org."])
    assert (_status(access, host=name) is None) is let_in
    assert (_status(access) is None) is False


def test_names_to_let_in_are_names() -> None:
    assert _status(Access("127.0.0.1", allow_hosts=["Microscope:8765"]), host="microscope") is None
    for name in ("http://microscope", "", "[", "microscope/page"):
        with pytest.raises(InputError, match="allow_hosts are names"):
            Access("127.0.0.1", allow_hosts=[name])


def test_any_address_but_no_other_name_where_all_are_bound() -> None:
    access = Access("0.0.0.0", TOKEN)
    header = f"Bearer {TOKEN}"
    assert _status(access, host="192.168.1.7:8765", authorization=header) is None
    assert _status(access, host="[fe80::1]:8765", authorization=header) is None
    assert _status(access, host="evil.example.org:8765", authorization=header) == 403


def test_a_token_comes_by_cookie_or_bearer() -> None:
    access = Access("127.0.0.1", TOKEN)
    for headers in ({"cookie": f"a=b; c={TOKEN}"}, {"authorization": f"Bearer {TOKEN}"}):
        assert _status(access, host="localhost", **headers) is None
    for headers in (
        {},
        {"cookie": f"d={TOKEN}"},
        {"cookie": "c=wrong-token"},
        {"cookie": f"c={TOKEN}x"},
        {"cookie": ";;=;\x00"},
        {"authorization": f"Basic {TOKEN}"},
        {"authorization": "Bearer ñandú-ñandú", "cookie": f"c={TOKEN}"},
    ):
        assert _status(access, host="localhost", **headers) == 401
    assert access.offered(f"x=1&token={TOKEN}") == TOKEN
    assert access.offered("token=wrong-token") is None
    assert Access("127.0.0.1").offered("token=") is None


@pytest.mark.parametrize(
    ("origin", "let_in"),
    [
        ("http://localhost:8765", True),
        ("https://LOCALHOST:8765", True),
        (None, True),
        ("http://localhost:9000", False),
        ("http://localhost", False),
        ("http://evil.example.org", False),
        ("null", False),
        ("http://[", False),
        ("", False),
    ],
)
def test_sockets_are_for_pages_of_the_same_origin(origin: str | None, let_in: bool) -> None:
    headers = {"host": "localhost:8765"} | ({} if origin is None else {"origin": origin})
    refusal = Access("127.0.0.1").socket_refusal(headers, "c")
    assert (refusal is None) is let_in
    assert refusal is None or refusal.status == 403
