"""A page without a browser, in a process of its own: ``python -m bench.live_client ADDRESS``.

It reads overlays and acknowledges each, until its standard input is closed; then it prints how many it had.
"""

import json
import struct
import sys
import threading

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect


def watch(address: str, stop: threading.Event) -> int:
    """Read until told to stop; return the number of overlays."""
    received = 0
    with connect(address, max_size=None, proxy=None, compression=None) as connection:
        print("open", flush=True)
        while not stop.is_set():
            try:
                message = connection.recv(timeout=0.2)
            except TimeoutError:
                continue
            except ConnectionClosed:
                break
            if isinstance(message, bytes):
                (length,) = struct.unpack_from("<I", message)
                number = json.loads(message[4 : 4 + length])["number"]
                received += 1
                connection.send(json.dumps({"type": "shown", "number": number}))
    return received


def main() -> None:
    stop = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
    print(watch(sys.argv[1], stop))


if __name__ == "__main__":
    main()
