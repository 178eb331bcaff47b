"""What pages say is read strictly; what they are told is what was shown."""

import json
import struct
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax

from camfast.errors import InputError
from camfast.live.serving import messages
from camfast.live.serving.encoding import Encoded
from camfast.live.serving.messages import Change, Malformed, Pause, Seen, Want


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ('{"type": "shown", "number": 7}', Seen(7)),
        ('{"type": "change", "alpha": 0.25, "target": "predicted"}', Change({"alpha": 0.25, "target": "predicted"})),
        ('{"type": "want"}', Want("jpeg", frame=False, quality=85)),
        ('{"type": "want", "format": "webp", "frame": true, "quality": 60}', Want("webp", frame=True, quality=60)),
        ('{"type": "want", "format": "raw", "quality": 60}', Want("raw")),
        ('{"type": "pause", "paused": true}', Pause(True)),
    ],
)
def test_messages_are_read(text: str, meant: messages.Message) -> None:
    assert messages.read(text) == meant


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", 1007),
        ("{", 1007),
        ('{"type": "shown", "number": NaN}', 1007),
        ("[" * 4096, 1007),
        ("[]", 1008),
        ('"shown"', 1008),
        ("{}", 1008),
        ('{"type": "open", "path": "/etc/passwd"}', 1008),
        ('{"type": ["shown"]}', 1008),
    ],
)
def test_what_no_page_says_is_malformed(text: str, code: int) -> None:
    with pytest.raises(Malformed) as raised:
        messages.read(text)
    assert raised.value.code == code
    assert 0 < len(raised.value.reason) < 120  # a reason of a close has 123 bytes at most


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"type": "shown"}', "fields number; found none"),
        ('{"type": "shown", "number": 1.0}', "number of shown must be an integer, found 1.0"),
        ('{"type": "shown", "number": true}', "integer"),
        ('{"type": "shown", "number": 1, "more": 2}', "fields number; found number, more"),
        ('{"type": "pause", "paused": 1}', "paused of pause must be true or false, found 1"),
        ('{"type": "want", "format": "gif"}', "format must be one of jpeg, webp, raw; found 'gif'"),
        ('{"type": "want", "format": 3}', "format of want must be a string, found 3"),
        ('{"type": "want", "quality": 84}', "quality must be one of 60, 75, 85, 95; found 84"),
        ('{"type": "want", "size": 2}', "found format, frame, quality, size"),
    ],
)
def test_a_wrong_value_is_said(text: str, why: str) -> None:
    with pytest.raises(InputError, match=why.replace("(", r"\(")):
        messages.read(text)


@given(
    st.text(max_size=60)
    | st.from_regex(r'\{"type": "(shown|change|want|pause)"(, "(number|paused|format|frame|alpha)": [^{}]{1,9})*\}')
)
def test_whatever_comes_is_read_or_refused(text: str) -> None:
    with suppress(Malformed, InputError):
        messages.read(text)


def test_an_error_is_cut_and_any_text_can_be_sent() -> None:
    text = json.loads(messages.error_text(InputError("\ud800" + "x" * 4000)))
    assert text["message"] == "\ud800" + "x" * 499 + "…"


def test_scores_have_names_and_probabilities() -> None:
    scores = np.array([1.5, -2.0, 700.0, 699.0, 1.5, 0.0, -1.0])
    top = messages.top_scores(scores, list("abcdefg"))
    assert [one["class"] for one in top] == [2, 3, 0, 4, 5]
    assert [one["name"] for one in top] == list("cdaef")
    assert [one["score"] for one in top] == [700.0, 699.0, 1.5, 1.5, 0.0]
    np.testing.assert_allclose([one["probability"] for one in top], softmax(scores)[[2, 3, 0, 4, 5]], rtol=1e-12)


def test_scores_that_are_no_numbers_come_first() -> None:
    top = messages.top_scores(np.array([3.0, np.nan, 9.0]), list("abc"))
    assert [one["name"] for one in top] == ["b", "c", "a"]
    packed = messages.pack({"scores": top}, [])
    assert json.loads(packed[4:])["scores"][0] == {"class": 1, "name": "b", "score": None, "probability": None}
    assert messages.top_scores(np.array([3.0]), ["one"])[0]["probability"] is None


def test_classes_without_names_are_named_by_their_numbers() -> None:
    assert [one["name"] for one in messages.top_scores(np.array([3.0, 4.0]), ["one"])] == ["1", "one"]


def test_a_binary_message_is_header_and_pictures() -> None:
    pictures = [("overlay", Encoded("jpeg", 3, 2, 3, b"abc")), ("frame", Encoded("raw", 2, 1, 1, b"\0\xff"))]
    message = messages.pack({"number": np.int64(4), "low": float("inf")}, pictures)
    (length,) = struct.unpack("<I", message[:4])
    assert json.loads(message[4 : 4 + length]) == {
        "number": 4,
        "low": None,
        "parts": [
            {"kind": "overlay", "format": "jpeg", "bytes": 3, "width": 3, "height": 2, "channels": 3},
            {"kind": "frame", "format": "raw", "bytes": 2, "width": 2, "height": 1, "channels": 1},
        ],
    }
    assert message[4 + length :] == b"abc\0\xff"
