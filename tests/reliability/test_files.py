"""The campaign of damaged files in its short form, and that it notices what is wrong."""

import json
import os
import random
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

from camfast.errors import InputError
from camfast.scan.formats import mrc
from reliability.files import commands
from reliability.files.documents import damaged_json, damaged_text
from reliability.files.formats import FORMATS, Wrong, judge
from reliability.files.mutating import damaged
from reliability.files.parsers import Reading
from reliability.files.workers import FINE, attempt

ROOT = Path(__file__).resolve().parents[2]


def run(*options: str) -> list[dict]:
    # a program of its own: only a process without threads may fork
    command = [sys.executable, "-m", "reliability.files", "--no-bombs", "--processes", "0", "--json", *options]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False
    )
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


def test_some_mutants_of_every_format():
    found = run("--cases", "50", "--commands", "0")
    assert {one["format"] for one in found} == set(FORMATS)
    for one in found:
        assert one["wrong"] == [], one["format"]
        assert one["mutants"]["read"] > 3
        assert one["mutants"]["refused"] > 3


def test_some_commands():
    (one,) = run("--cases", "8", "--commands", "4", "--only", "MRC")
    assert one["wrong"] == []
    assert sum(one["commands"].values()) == 4


def test_the_same_numbers_give_the_same_mutants():
    for name in ("MRC", "TIFF", "NIfTI"):
        made = FORMATS[name].seeds()
        first, second = ([FORMATS[name].mutant(made, seed, index) for index in range(20)] for seed in (0, 0))
        assert first == second
        assert first != [FORMATS[name].mutant(made, 1, index) for index in range(20)]
    content, text = bytes(range(200)), '{"a": [1, {"b": null}], "c": "d"}'
    for seed in range(50):
        for damage in (
            lambda rng: damaged(content, rng, [(0, "<i"), (4, ">d")]),
            lambda rng: damaged_json(text, rng),
            lambda rng: damaged_text("a b\nc\n", rng),
        ):
            assert damage(random.Random(seed)) == damage(random.Random(seed))


def reading(path, files):
    return 0


def raising(error):
    def read(path, files):
        raise error

    return read


def warning(path, files):
    warnings.warn("of a library", stacklevel=1)
    return 0


def taking(path, files):
    return len(np.ones(100 << 20, np.uint8)) * 0


def slow(path, files):
    began = time.process_time()
    while time.process_time() - began < 0.1:
        pass
    return 0


@pytest.mark.parametrize(
    ("read", "end"),
    [
        (reading, "read"),
        (raising(InputError("/x/a.mrc: is damaged; copy it again")), "refused"),
        (raising(InputError("is damaged")), "unnamed"),
        (raising(InputError("a.mrc: " + "a" * 5000)), "long message"),
        (raising(ValueError("a.mrc: is damaged")), "raw error"),
        (raising(Wrong("other values")), "wrong"),
        (warning, "warning"),
        (taking, "memory"),
        (slow, "slow"),
    ],
)
def test_what_is_wrong_is_noticed(monkeypatch, read, end):
    monkeypatch.setattr("reliability.files.workers.SECONDS", 0.05)
    monkeypatch.setattr("reliability.files.workers.ALLOWANCE", 20 << 20)
    assert attempt(read, Path("/x/a.mrc"), {"": bytes(1000)})["end"] == end


def test_memory_that_could_not_be_had_is_noticed():
    def read(path, files):
        try:
            raise MemoryError
        except MemoryError:
            raise InputError("a.mrc: is damaged") from None

    assert attempt(read, Path("/x/a.mrc"), {"": b""})["end"] == "allocated first"


def test_a_planted_defect_of_a_reader_is_noticed(monkeypatch, tmp_path):
    form = FORMATS["MRC"]
    name, files = form.mutant(form.seeds(), 0, -1)
    (tmp_path / name).write_bytes(files[""])
    assert attempt(form.read, tmp_path / name, files)["end"] == "read"
    monkeypatch.setattr(mrc, "_axes", lambda _: [1, 0, 2])  # columns and rows exchanged
    assert attempt(form.read, tmp_path / name, files)["end"] == "wrong"


def test_judgements():
    values = np.arange(6, dtype=np.float32).reshape(1, 2, 3)
    judge((1, 2, 3), values, (1.5, 1.5, 1.5), [Reading((1, 2, 3), values.astype(">f4"), (1.5, 1.5, 1.5))])
    for shape, found, edges in (
        ((1, 3, 2), values, None),
        ((1, 2, 3), values + 1, None),
        ((1, 2, 3), values, (1.5, 1.5, 1.6)),
    ):
        with pytest.raises(Wrong):
            judge(shape, found, edges, [Reading((1, 2, 3), values, (1.5, 1.5, 1.5))])


@pytest.mark.parametrize(
    ("code", "text", "others", "end"),
    [
        (0, "net: 3 × 4\n", [], "read"),
        (2, "camfast: error: a.mrc: truncated\n", [], "refused"),
        (1, "camfast: failed: KeyError\n", [], "exit code 1"),
        (2, "Traceback (most recent call last):\ncamfast: error: a\n", [], "not a sentence"),
        (2, "camfast: error: a\ncamfast: error: b\n", [], "not a sentence"),
        (2, "camfast: error: a\x1b[2J\n", [], "not a sentence"),
        (2, "some library: a tag is odd\ncamfast: error: a\n", [], "more than a sentence"),
        (0, "camfast: warning: odd\n", ["UserWarning: odd"], "another's warning"),
    ],
)
def test_what_commands_print_is_judged(code, text, others, end):
    assert commands.judged(code, text, others)["end"] == end
    assert (end in FINE) == (end in ("read", "refused"))
