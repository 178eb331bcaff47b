"""Targets: which scalars they choose, and what is said about those that don't fit."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import camfast
from camfast.targets import classes_of, named_units, select
from tests import oracle
from tests.capture.networks import images, sequential


@pytest.fixture
def scores() -> Tensor:
    return torch.tensor([[1.0, 5.0, 3.0], [4.0, 2.0, 4.0]], dtype=torch.float64, requires_grad=True)


def test_classes(scores: Tensor) -> None:
    cases: list[tuple[object, list[list[float]], list[object], bool]] = [
        ("predicted", [[5], [4]], [1, 0], False),
        (2, [[3], [4]], [2, 2], False),
        (np.int64(2), [[3], [4]], [2, 2], False),
        (torch.tensor(2), [[3], [4]], [2, 2], False),
        (torch.tensor([2, 1]), [[3], [2]], [2, 1], False),
        (torch.tensor([2, 1], dtype=torch.uint8), [[3], [2]], [2, 1], False),
        ("all", [[1, 5, 3], [4, 2, 4]], [[0, 1, 2]] * 2, True),
        ([2, 0, 2], [[3, 1, 3], [4, 4, 4]], [[2, 0, 2]] * 2, True),
        ((1,), [[5], [2]], [[1]] * 2, True),
        (range(2), [[1, 5], [4, 2]], [[0, 1]] * 2, True),
        ([torch.tensor(1), np.uint8(0)], [[5, 1], [2, 4]], [[1, 0]] * 2, True),
    ]
    for target, values, classes, many in cases:
        chosen = select(scores, target)  # type: ignore[arg-type]
        assert chosen.values.tolist() == values, target
        assert chosen.targets.tolist() == classes, target
        assert chosen.many is many, target
        (gradient,) = torch.autograd.grad(chosen.values.sum(), scores)
        assert gradient.sum() == len(values) * len(values[0])


def test_functions(scores: Tensor) -> None:
    def difference(output: Tensor) -> Tensor:
        return output[:, 1] - output[:, 0]

    chosen = select(scores, difference)
    assert (chosen.values.tolist(), chosen.many, chosen.targets) == ([[4], [-2]], False, difference)
    chosen = select(scores, lambda output: output[:, :2] * 2)
    assert (chosen.values.tolist(), chosen.many) == ([[2, 10], [8, 4]], True)


def test_one_score_a_sample() -> None:
    scores = torch.tensor([3.0, -1.0], requires_grad=True)
    for target in ("predicted", 0):
        assert select(scores, target).values.tolist() == [[3], [-1]]
    assert select(scores, "all").values.tolist() == [[3], [-1]]
    with pytest.raises(ValueError, match="target=1 is out of range: the model has the classes 0 to 0"):
        select(scores, 1)


WRONG: list[tuple[object, type[Exception], str]] = [
    (3, ValueError, r"target=3 is out of range: the model has the classes 0 to 2"),
    (-1, ValueError, r"target=-1 is out of range"),
    ([0, 3], ValueError, r"target=3 is out of range"),
    (torch.tensor([0, 3]), ValueError, r"target=3 is out of range"),
    (torch.tensor([-1, 0]), ValueError, r"target=-1 is out of range"),
    ([], ValueError, r"target is an empty list: name at least one class"),
    ("best", ValueError, r"target must be 'predicted', 'all', a class or a list, found 'best'"),
    (1.0, TypeError, r"target must be a class index.*found 1.0 \(float\)"),
    (True, TypeError, r"target must be a class index.*found True \(bool\)"),
    (torch.tensor(True), TypeError, r"target must be a class index.*found tensor\(True\)"),
    (torch.tensor(1.0), TypeError, r"target must be a class index.*found tensor\(1.\)"),
    (None, TypeError, r"target must be a class index.*found None"),
    (np.array([0, 1]), TypeError, r"target must be a class index, a LongTensor of one a sample.*ndarray"),
    ({1}, TypeError, r"target must be a class index.*found \{1\} \(set\)"),
    ([0, "1"], TypeError, r"target must be a class index.*found '1' \(str\)"),
    ([[0], [1]], TypeError, r"target must be a class index.*found \[0\] \(list\)"),
    (camfast.Unit("fc", 1), ValueError, r"a Unit of layer 'fc', which camfast.cam and Explainer explain: give a class"),
    ([0, camfast.Region(1)], TypeError, r"a list of targets must hold classes only, regions only or units only"),
    (torch.tensor([1, 2, 0]), ValueError, r"one class index a sample, a LongTensor \(2,\); found torch.int64 \(3,\)"),
    (torch.tensor([[1], [2]]), ValueError, r"a LongTensor \(2,\); found torch.int64 \(2, 1\)"),
    (torch.tensor([1.0, 2.0]), ValueError, r"a LongTensor \(2,\); found torch.float32"),
    (torch.tensor([True, False]), ValueError, r"a LongTensor \(2,\); found torch.bool"),
    (camfast.Region(0, "image"), ValueError, r"Region explains outputs \(N, C, \*S\), found the shape \(2, 3\)"),
    (lambda output: output.sum(), ValueError, r"one scalar a sample, \(2,\) or \(2, T\); found \(\)"),
    (lambda output: output.sum(0), ValueError, r"found \(3,\)"),
    (lambda output: output[:, :0], ValueError, r"found \(2, 0\)"),
    (lambda output: output[:, None], ValueError, r"found \(2, 1, 3\)"),
    (lambda _: 3, ValueError, r"one scalar a sample.*found int"),
    (lambda output: output[:, 0].detach(), ValueError, r"values without a graph: compute them from the scores"),
    (lambda output: output.argmax(1), ValueError, r"values without a graph"),
]


@pytest.mark.parametrize(("target", "error", "message"), WRONG, ids=[message[:40] for *_, message in WRONG])
def test_what_does_not_fit(scores: Tensor, target: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        select(scores, target)  # type: ignore[arg-type]


def test_every_word(scores: Tensor) -> None:
    cases: list[tuple[Tensor, object, type[Exception], str]] = [
        (
            scores, camfast.Unit("fc", 1), ValueError,
            "target is a Unit of layer 'fc', which camfast.cam and Explainer explain: give a class, a Region or a "
            "function of the output here",
        ),
        (
            scores, 0.5, TypeError,
            "target must be a class index, a LongTensor of one a sample, or a list of them; found 0.5 (float)",
        ),
        (
            scores, [0, camfast.Region(1)], TypeError,
            "a list of targets must hold classes only, regions only or units only",
        ),
        (scores, [], ValueError, "target is an empty list: name at least one class"),
        (scores, "most", ValueError, "target must be 'predicted', 'all', a class or a list, found 'most'"),
        (
            scores, torch.tensor([1.0, 2.0]), ValueError,
            "a target tensor must hold one class index a sample, a LongTensor (2,); found torch.float32 (2,)",
        ),
        (
            scores, lambda output: output.sum(0), ValueError,
            "a target function must return one scalar a sample, (2,) or (2, T); found (3,)",
        ),
        (
            scores, lambda output: output[:, 0].detach(), ValueError,
            "the target function returned values without a graph: compute them from the scores by torch",
        ),
        (
            torch.zeros(2, 3, 4), 1, ValueError,
            "the model's output has the shape (2, 3, 4), one score for every class and position: explain "
            "camfast.Region(class_index, where), not target=1",
        ),
        (
            torch.tensor(3.0), 0, ValueError,
            "the model returned a single number for the whole batch: it must be (N,), (N, C) or (N, C, *S)",
        ),
    ]  # fmt: skip
    for output, target, error, text in cases:
        with pytest.raises(error) as caught:
            select(output, target)  # type: ignore[arg-type]
        assert str(caught.value) == text


def test_units_word_by_word(scores: Tensor) -> None:
    deep, flat = torch.arange(24.0).reshape(2, 3, 4).requires_grad_(), torch.arange(6.0).reshape(2, 3)
    assert camfast.Unit("a", (2, 3)).value(deep).tolist() == [11, 23]
    assert camfast.Unit("a", (0, 0)).value(deep).tolist() == [0, 12]
    assert camfast.Unit("a", 2).value(flat).tolist() == camfast.Unit("a", [2]).value(flat).tolist() == [2, 5]  # type: ignore[arg-type]
    for index, features, text in (
        (
            1, deep,
            "Unit('a', 1): the layer returns (2, 3, 4), whose units are named by a tuple of 2 ints, "
            "(channel, *position)",
        ),
        ((1, 2), flat, "Unit('a', (1, 2)): the layer returns (2, 3), whose units are named by an int"),
        ((2, 4), deep, "Unit('a', (2, 4)) is out of range: the layer returns (2, 3, 4)"),
        ((3, 0), deep, "Unit('a', (3, 0)) is out of range: the layer returns (2, 3, 4)"),
        ((0, -1), deep, "Unit('a', (0, -1)) is out of range: the layer returns (2, 3, 4)"),
    ):  # fmt: skip
        with pytest.raises(ValueError) as caught:  # noqa: PT011 (compared as a whole)
            camfast.Unit("a", index).value(features)  # type: ignore[arg-type]
        assert str(caught.value) == text
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        select(scores, camfast.Unit("a", 1), {"a": flat})
    assert str(caught.value) == (
        "Unit('a', 1) doesn't depend on the explained layer, which runs behind it or beside it: explain a layer in "
        "front of the unit's"
    )
    chosen = select(scores.detach(), [camfast.Unit("a", 1), camfast.Unit("b", (0, 1))], {"a": flat, "b": deep})
    assert (chosen.values.tolist(), chosen.many, chosen.scores) == ([[1, 1], [4, 13]], True, None)


def test_units_are_named_and_other_targets_handed_on() -> None:
    model = sequential()
    target: object
    for target in ("predicted", 3, [0, 1], (0,), [], None):
        found, names = named_units(model, target)  # type: ignore[arg-type]
        assert found is target
        assert names == ()
    first, second = camfast.Unit(model[0], (1, 2, 3)), camfast.Unit("1", (0, 0, 0))
    assert named_units(model, first) == (camfast.Unit("0", (1, 2, 3)), ("0",))
    named, names = named_units(model, [first, second, first, 3])  # type: ignore[list-item]
    assert named == [camfast.Unit("0", (1, 2, 3)), second, camfast.Unit("0", (1, 2, 3)), 3]
    assert names == ("0", "1")


def test_classes_for_a_method_that_knows_nothing_else(scores: Tensor) -> None:
    assert classes_of(select(scores, [2, 0])).tolist() == [[2, 0]] * 2
    kinds = {"function": lambda output: output[:, 0], "Unit": camfast.Unit("a", 0)}
    for kind, target in kinds.items():
        chosen = select(scores.detach(), target, {"a": torch.zeros(2, 3)})
        with pytest.raises(ValueError, match="cam") as caught:
            classes_of(chosen)
        assert str(caught.value) == (
            f"method='cam' explains class scores by the weights of a linear layer, found a target of type {kind}: give "
            "classes, or use gradcam or hirescam"
        )
    several = select(torch.zeros(2, 3, 4), [camfast.Region(1, "image")])
    with pytest.raises(ValueError, match="found a target of type Region: give"):
        classes_of(several)


@pytest.mark.parametrize("target", ["predicted", "all", 1, [0, 2], torch.tensor([0, 1])])
def test_classes_lie_where_the_scores_do(target: object) -> None:
    chosen = select(torch.zeros(2, 3, device="meta"), target)  # type: ignore[arg-type]
    assert chosen.targets.device.type == chosen.values.device.type == "meta"


def test_errors_reach_the_caller_of_cam() -> None:
    with pytest.raises(ValueError, match="target=5 is out of range: the model has the classes 0 to 4"):
        camfast.cam(sequential(), images(), "1", 5)
    with pytest.raises(TypeError, match="target must be a class index"):
        camfast.cam(sequential(), images(), "1", 0.5)  # type: ignore[arg-type]


@pytest.mark.parametrize("target", ["predicted", "all", 1, [0], torch.tensor([0, 1])])
def test_a_segmentation_wants_a_region(target: object) -> None:
    with pytest.raises(
        ValueError, match=r"has the shape \(2, 3, 4, 4\).*explain\s+camfast\.Region\(class_index, where\)"
    ):
        select(torch.zeros(2, 3, 4, 4), target)  # type: ignore[arg-type]


def test_one_number_for_the_batch() -> None:
    with pytest.raises(ValueError, match=r"a single number for the whole batch: it must be \(N,\), \(N, C\)"):
        select(torch.tensor(3.0), 0)


def test_each_kind_through_the_engine() -> None:
    model, x = sequential(), images(3)
    scores = model(x)
    explainer = camfast.Explainer(model, "1", "respond", size="grid")
    grids = [oracle.grid(model, x, "1", target, "respond") for target in range(5)]

    def same(found: Tensor, expected: Tensor) -> bool:
        return oracle.relative_error(found, expected) < 1e-9

    chosen = scores.argmax(1)
    assert same(explainer(x).maps, torch.stack([grids[target][n] for n, target in enumerate(chosen)]))
    assert torch.equal(explainer(x).targets, chosen)
    each = torch.tensor([4, 0, 2])
    assert same(explainer(x, each).maps, torch.stack([grids[target][n] for n, target in enumerate(each)]))
    assert same(explainer(x, [3, 3, 1]).maps, torch.stack([grids[3], grids[3], grids[1]], 1))
    assert same(explainer(x, "all").maps, torch.stack(grids, 1))
    margin = oracle.grid(model, x, "1", lambda output: output[:, 2] - output.logsumexp(1), "respond")
    assert same(explainer(x, lambda output: output[:, 2] - output.logsumexp(1)).maps, margin)
    assert same(explainer(x, lambda output: output[:, [4, 2]]).maps, torch.stack([grids[4], grids[2]], 1))


def test_a_regression_through_the_engine() -> None:
    model, x = nn.Sequential(sequential(), nn.Linear(5, 1), nn.Flatten(0)).double(), images(3)
    expected = oracle.grid(model, x, "0.1", lambda output: output)
    for target in ("predicted", 0):
        result = camfast.Explainer(model, "0.1", relu=False, size="grid")(x, target)
        assert oracle.relative_error(result.maps, expected) < 1e-12
        assert result.scores.shape == (3,)
