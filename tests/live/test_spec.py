import pytest

from camfast.errors import InputError
from camfast.live.spec import Spec


@pytest.mark.parametrize(
    ("text", "kind", "place", "options"),
    [
        ("sim:4x6@30", "sim", "4x6@30", {}),
        ("sim:4x6@30?seed=3", "sim", "4x6@30", {"seed": "3"}),
        ("watch:/a/img_?.tif", "watch", "/a/img_?.tif", {}),
        ("watch:/a/img_?.tif?volume=1", "watch", "/a/img_?.tif", {"volume": "1"}),
        ("zmq:tcp://host:5555?bind=1&topic=a%26b/c", "zmq", "tcp://host:5555", {"bind": "1", "topic": "a&b/c"}),
        ("video:C:\\films\\a.mp4", "video", "C:\\films\\a.mp4", {}),
        ("zmq:tcp://h:1?topic=", "zmq", "tcp://h:1", {"topic": ""}),
        ("", "", "", {}),
    ],
)
def test_a_text_is_taken_apart(text: str, kind: str, place: str, options: dict[str, str]) -> None:
    spec = Spec.of(text)
    assert (spec.kind, spec.place, spec.options) == (kind, place, options)


def test_options_have_values() -> None:
    spec = Spec.of("x:y?a=1&b=no&c=2.5&d=")
    assert spec.whole("a", 7) == 1
    assert spec.whole("absent", 7) == 7
    assert spec.flag("a")
    assert not spec.flag("b")
    assert not spec.flag("absent")
    assert spec.number("c") == 2.5
    assert spec.number("absent") is None
    for name in "bcd":
        with pytest.raises(InputError, match=f"{name} must be a whole number from 0"):
            spec.whole(name, 0)
    with pytest.raises(InputError, match=r"c must be 1 or 0, found '2\.5'"):
        spec.flag("c")
    with pytest.raises(InputError, match="d must be a number, found ''"):
        spec.number("d")
    with pytest.raises(InputError, match="must be a number, found 'inf'"):
        Spec.of("x:y?a=inf").number("a")


def test_an_unknown_option_is_named() -> None:
    Spec.of("sim:y?seed=1").check_options("seed")
    with pytest.raises(InputError, match=r"sim:y\?sed=1: unknown option 'sed' of a source sim; it has seed"):
        Spec.of("sim:y?sed=1").check_options("seed")
