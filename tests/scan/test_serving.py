"""A server of folders: bytes and parts of them, to one origin, and nothing beside the folders."""

import http.client
import socket
import threading
import time
from contextlib import ExitStack

import pytest

from camfast.errors import InputError
from camfast.scan.showing import serving
from camfast.scan.showing.serving import FolderServer

SITE = "https://viewer.example"
CONTENT = bytes(range(256)) * 20


@pytest.fixture
def served(tmp_path):
    """Serve a folder with a file, beside which another lies; give the server and what asks it."""
    (tmp_path / "cam.zarr" / "0" / "c").mkdir(parents=True)
    (tmp_path / "cam.zarr" / "zarr.json").write_text("{}")
    (tmp_path / "cam.zarr" / "0" / "c" / "shard 1").write_bytes(CONTENT)
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "cam.zarr" / "out").symlink_to(tmp_path / "secret")
    with FolderServer({"map.zarr": tmp_path / "cam.zarr"}, SITE) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()

        def ask(path, method="GET", **headers):
            connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
            connection.putrequest(method, path, skip_host="host" in headers)
            for name, value in headers.items():
                connection.putheader(name, value)
            connection.endheaders()
            answer = connection.getresponse()
            body = answer.read()
            connection.close()
            return answer, body

        yield server, ask
        server.shutdown()
        thread.join()


def test_a_file_and_its_parts(served):
    _, ask = served
    answer, body = ask("/map.zarr/0/c/shard%201")
    assert (answer.status, body) == (200, CONTENT)
    assert answer.headers["Accept-Ranges"] == "bytes"
    for asked, part, shown in (
        ("bytes=0-9", CONTENT[:10], "bytes 0-9/5120"),
        ("bytes=5000-", CONTENT[5000:], "bytes 5000-5119/5120"),
        ("bytes=-7", CONTENT[-7:], "bytes 5113-5119/5120"),
        ("bytes=5000-99999", CONTENT[5000:], "bytes 5000-5119/5120"),
    ):
        answer, body = ask("/map.zarr/0/c/shard%201", Range=asked)
        assert (answer.status, body, answer.headers["Content-Range"]) == (206, part, shown)
    answer, body = ask("/map.zarr/0/c/shard%201", Range="bytes=5120-")
    assert (answer.status, body, answer.headers["Content-Range"]) == (416, b"", "bytes */5120")
    for odd in ("bytes=9-3", "lines=1-2", "bytes=-", "bytes=0-1,4-5"):
        assert ask("/map.zarr/0/c/shard%201", Range=odd)[1] == CONTENT
    answer, body = ask("/map.zarr/0/c/shard%201", "HEAD")
    assert (answer.status, body, answer.headers["Content-Length"]) == (200, b"", "5120")
    assert ask("/map.zarr/zarr.json")[0].headers["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    "path",
    [
        "/", "/map.zarr", "/map.zarr/", "/map.zarr/0", "/map.zarr/../secret", "/map.zarr/%2e%2e/secret", "/secret",
        "/map.zarr/..%2fsecret", "/map.zarr//secret", "/map.zarr/out", "/map.zarr/0/../zarr.json", "/map.zarr/none",
        "/map.zarr/..%5csecret", "/map.zarr/zarr.json%00", "/../map.zarr/zarr.json", "/other.zarr/zarr.json",
    ],
)  # fmt: skip
def test_nothing_else_is_served(served, path):
    _, ask = served
    answer, body = ask(path)
    assert answer.status == 404
    assert b"secret" not in body.replace(path.encode(), b"")


def test_pages_of_one_origin_may_read(served):
    server, ask = served
    for method in ("GET", "OPTIONS"):
        answer, _ = ask("/map.zarr/zarr.json", method, Origin=SITE)
        assert answer.status == {"GET": 200, "OPTIONS": 204}[method]
        assert answer.headers["Access-Control-Allow-Origin"] == SITE
        assert answer.headers["Access-Control-Allow-Headers"] == "Range"
        other, _ = ask("/map.zarr/zarr.json", method, Origin="https://elsewhere.example")
        assert other.headers["Access-Control-Allow-Origin"] is None
    assert ask("/map.zarr/none", Origin=SITE)[0].headers["Access-Control-Allow-Origin"] == SITE
    assert server.server_address[0] == "127.0.0.1"


def test_another_name_of_this_machine_is_refused(served):
    server, ask = served
    assert ask("/map.zarr/zarr.json", host=f"localhost:{server.server_port}")[0].status == 200
    assert ask("/map.zarr/zarr.json", host=f"rebound.example:{server.server_port}")[0].status == 403


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE"])
def test_nothing_can_be_changed(served, method):
    _, ask = served
    assert ask("/map.zarr/zarr.json", method)[0].status == 501


def test_a_port_that_is_taken(served):
    server, _ = served
    with pytest.raises(InputError, match=f"port {server.server_port} cannot be used .* 0 for any"):
        FolderServer({}, SITE, server.server_port)
    with pytest.raises(InputError, match="port 70000 cannot be used"):
        FolderServer({}, SITE, 70000)


def test_connections_that_say_nothing_are_bounded(served, monkeypatch):
    server, ask = served
    monkeypatch.setattr(serving._Handler, "timeout", 0.5)
    before = threading.active_count()
    with ExitStack() as opened:
        lines = [
            opened.enter_context(socket.create_connection(("127.0.0.1", server.server_port), 5)) for _ in range(80)
        ]
        for line in lines:
            line.sendall(b"GET /map.z")
        deadline = time.monotonic() + 5
        while threading.active_count() < before + serving._MOST and time.monotonic() < deadline:
            time.sleep(0.01)
        assert threading.active_count() <= before + serving._MOST + 1
        assert all(line.recv(10) == b"" for line in lines)  # those beyond the most at once, the others when it is time
        assert ask("/map.zarr/zarr.json")[0].status == 200
    while threading.active_count() > before and time.monotonic() < deadline + 5:
        time.sleep(0.01)
    assert threading.active_count() <= before
