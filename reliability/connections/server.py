"""A page's server in a process of its own, so that what it holds can be measured from outside."""

import argparse
import sys

from camfast.live.serving import client, lines
from camfast.live.serving.server import PageServer
from reliability.connections import FPS, SIZE, TOKEN
from tests.live.serving.fakes import FakeControl, Pump, Repeated


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--lifetime", type=float, required=True)
    parser.add_argument("--too-slow", type=float, required=True)
    options = parser.parse_args()
    lines.LIFETIME, client.TOO_SLOW = options.lifetime, options.too_slow
    control = FakeControl()
    server = PageServer(control, port=0, token=TOKEN)
    server.start()
    with Pump(Repeated(control, SIZE), server, FPS):
        print(server.name, flush=True)
        sys.stdin.read()  # until whoever started it closes it
    server.close()


if __name__ == "__main__":
    main()
