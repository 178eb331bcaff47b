"""Seeded damage to JSON, which stays JSON, and to text of lines and words."""

import copy
import json
import random
from collections.abc import Iterator
from typing import Any

from reliability.files.mutating import damaged


class Raw(str):
    """Text that stands in a document as it is."""


class Pairs(list[list[Any]]):
    """An object as [key, value] in their order, keys twice where they are."""


def _values(rng: random.Random) -> Any:
    """What stands where something else was: every type, and numbers, words and depths that nobody expects."""
    depth = rng.choice((3, 200, 5000, 100_000))
    return rng.choice(
        (None, True, False, 0, -1, 1, 2, 0.5, -0.0, 2**31, 2**53 + 1, 2**63, 2**64, -(2**63), 10**30, [], Pairs(), "",
         Raw("1" + "0" * 400), Raw("9" * 5000), Raw("1e999"), Raw("-1e999"), Raw("NaN"), Raw("Infinity"),
         Raw("[" * depth + "]" * depth), Raw('{"a":' * depth + "0" + "}" * depth), Raw("[" * depth),
         "0", "nan", "1e400", "../../..", "/etc/passwd", "a" * 100_000, "\0", "\x1b[31m", "é∞𝔘 ",
         Raw('"\\ud800"'), Raw('"\\u0000"'), "\u202e", [0], [[]], [None], ["", 1, None], [1e308] * 3, [-1, -1, -1],
         [2**40] * 3, [0, 0, 0], Pairs([["", None]]), Pairs([["type", "scale"]]))
    )  # fmt: skip


def parsed(text: str) -> Any:
    """A document with its objects as `Pairs`."""
    return json.loads(text, object_pairs_hook=lambda pairs: Pairs([list(pair) for pair in pairs]))


def written(value: Any) -> str:
    """The document's text."""
    if isinstance(value, Raw):
        return value
    if isinstance(value, Pairs):
        return "{" + ",".join(f"{json.dumps(key)}:{written(one)}" for key, one in value) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(written, value)) + "]"
    return json.dumps(value)


def _places(value: Any) -> Iterator[tuple[list[Any], int]]:
    """Every place of a document but its root: the list it stands in, and its index."""
    if isinstance(value, Pairs):
        for pair in value:
            yield pair, 1
            yield from _places(pair[1])
    elif isinstance(value, list):
        for index, one in enumerate(value):
            yield value, index
            yield from _places(one)


def _containers(value: Any) -> Iterator[list[Any]]:
    if isinstance(value, list):
        yield value
        for one in value:
            yield from _containers(one[1] if isinstance(value, Pairs) else one)


def damaged_json(text: str, rng: random.Random) -> str:
    """Change values, remove, double, rename and swap entries; now and then the bytes themselves."""
    root = [parsed(text)]
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        places = list(_places(root))
        kind = rng.randrange(8)
        if kind <= 3:
            holder, index = rng.choice(places)
            holder[index] = _values(rng)
            continue
        container = rng.choice([one for one in _containers(root[0]) if one] or [root])
        index = rng.randrange(len(container))
        if kind == 4 and container is not root:
            del container[index]
        elif kind == 5:
            container.insert(rng.randint(0, len(container)), copy.deepcopy(container[index]))
        elif kind == 6 and isinstance(container, Pairs):
            container[index][0] = rng.choice(("", "a", "\0", "type", "path", "scale", container[index][0] + "_"))
        else:
            other = rng.randrange(len(container))
            container[index], container[other] = container[other], container[index]
    out = written(root[0])
    if rng.random() < 0.15:
        return damaged(out.encode("utf-8", "surrogatepass"), rng).decode("latin-1")
    return out


WORDS = (
    "", "0", "-1", "1e999", "nan", "inf", "1e-320", "None", '"', "'", "loop_", "data_", "data_a", "save_", "#", ";",
    "_rlnTomoName", "_", "\0", "\x1b[2J", "é", "../" * 50, "/" * 300, "a" * 300, "a" * 5000, "/etc", ".", "..", "~",
    "*",    "$(id)", "\t", "\r", "9" * 400, "\u202e", "?",
)  # fmt: skip


def damaged_text(text: str, rng: random.Random) -> bytes:
    """Swap, double, drop and change lines and words; a third of the time bytes."""
    for _ in range(rng.choice((1, 1, 2, 3))):
        lines = text.split("\n")
        kind, index, other = rng.randrange(6), rng.randrange(len(lines)), rng.randrange(len(lines))
        if kind == 0:
            lines[index], lines[other] = lines[other], lines[index]
        elif kind == 1:
            lines.insert(index, lines[other])
        elif kind == 2:
            del lines[index]
        else:
            words = lines[index].split(" ")
            place = rng.randrange(len(words))
            change = rng.randrange(4)
            if change == 0:
                del words[place]
            elif change == 1:
                words.insert(place, rng.choice(WORDS))
            else:
                words[place] = rng.choice(WORDS)
            lines[index] = " ".join(words)
        text = "\n".join(lines)
    content = text.encode("utf-8", "surrogatepass")
    return damaged(content, rng) if rng.random() < 0.33 else content
