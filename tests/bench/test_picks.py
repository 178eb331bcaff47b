"""What `bench.picks` counts: every particle once, rates of sums, the settings that it compares."""

from collections import Counter
from pathlib import Path

import pytest

from bench import picks
from bench.picks import BUNDLED, COLUMNS, PAIR, Found, Setting, lines, measure, settings
from camfast.scan.picking.matching import Match

SMALL = {"size": (32, 64, 96), "particles": 8}


def test_a_small_tomogram_without_much_noise_is_picked():
    found = measure(Setting(BUNDLED, 20.0), 3, **SMALL)
    assert len(found) == 8
    assert {one.agreeing.particles for one in found.values()} == {1}
    together = sum(found.values(), Found())
    assert together.right + together.taken_for.total() == 8
    for one in found.values():
        assert one.agreeing.matched <= one.there
        assert one.alone.matched <= one.there
    assert together.agreeing.matched >= 6


def test_lines_are_of_sums():
    ball = Found(Match(1, 2, 4), Match(4, 8, 4), 1, 4, Counter({"rod": 3}))
    rod = Found(Match(0, 0, 6), Match(3, 4, 6), 3, 5, Counter({"ball": 1, "ring": 2}))
    ring = Found(Match(2, 2, 2), Match(2, 2, 2), 2, 2)
    table = lines(Setting(BUNDLED, 0.5), {"ball": ball, "rod": rod, "ring": ring}, ("ball", "rod"))
    assert {len(line) for line in table} == {len(COLUMNS)}
    assert {line[:3] for line in table} == {("bundled, trained at SNR 2", "0.5", "maxpool2, 8")}
    assert [line[3:] for line in table] == [
        ("ball", "4", "0.50", "0.25", "0.50", "1.00", "0.25", "rod 0.75", "1.00"),
        ("rod", "6", "–", "0.00", "0.75", "0.50", "0.50", "ring 0.33", "0.83"),
        ("these 2", "10", "0.50", "0.10", "0.58", "0.70", "0.40", "rod 0.30", "0.90"),
        ("all 3", "12", "0.75", "0.25", "0.64", "0.75", "0.50", "rod 0.25", "0.92"),
    ]


def test_settings():
    bundled, finer = Setting(BUNDLED, 0.5), Setting(BUNDLED, 0.5, "relu4", 4)
    assert settings(0.5, None) == [Setting(BUNDLED, 2.0), bundled, finer]
    assert settings(0.5, Path("w.safetensors"))[3] == Setting("w.safetensors", 0.5)
    assert settings(2.0, None) == [Setting(BUNDLED, 2.0), Setting(BUNDLED, 2.0, "relu4", 4)]
    assert set(PAIR) < set(bundled.load().labels)


def test_quick_prints_a_table_and_writes_nothing(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["picks", "--quick"])
    picks.main()
    printed = capsys.readouterr().out
    assert "| bundled, trained at SNR 2 | 0.5 | maxpool2, 8 | these 2 | 4 |" in printed
    monkeypatch.setattr("sys.argv", ["picks", "--quick", "--write"])
    with pytest.raises(SystemExit):
        picks.main()
