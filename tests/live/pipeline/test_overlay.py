"""The whole pipeline, against the same made step by step by PIL, an explainer in float64, and torch."""

import copy

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

import camfast
from camfast.live import Overlay
from camfast.models import Preprocess
from tests.live.networks import greys, network_input, painted, pictures, volumes

PREPROCESS = Preprocess(size=(21, 17), mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25))


def _frame(shape: tuple[int, ...], dtype: str = "uint16", seed: int = 0) -> NDArray[np.generic]:
    values = np.random.default_rng(seed).random(shape) * (255 if dtype == "uint8" else 5000)
    return values.astype(dtype)


def _explainer(method: str = "gradcam", **options: object) -> camfast.Explainer:
    return camfast.Explainer(pictures(), "3", method, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("method", ["gradcam", "respond", "hirescam", "cam", "eigencam", "gradcam++"])
@pytest.mark.parametrize(
    ("shape", "dtype"), [((40, 52), "uint16"), ((40, 52, 3), "uint8"), ((9, 130), "float32"), ((1, 1), "uint8")]
)
def test_a_first_frame(method: str, shape: tuple[int, ...], dtype: str) -> None:
    model = pictures()
    frame = _frame(shape, dtype)
    levels = (0.0, 255.0) if dtype == "uint8" else (10.0, 4000.0)
    explainer = camfast.Explainer(model, "3", method)
    found = Overlay(explainer, shape, dtype, preprocess=PREPROCESS, levels=levels).show(frame)

    double = camfast.Explainer(copy.deepcopy(model).double(), "3", method, size="grid")
    expected = double(network_input(frame, PREPROCESS, *levels))
    assert found.target == expected.targets.item()
    # float32 through a small network with weights of about 0.1 and inputs of about 2
    torch.testing.assert_close(found.scores.double(), expected.scores[0], rtol=1e-4, atol=1e-5)
    largest = expected.grid.abs().max().item()
    torch.testing.assert_close(found.grid.double(), expected.grid[0], rtol=1e-4, atol=2e-4 * largest + 1e-12)
    low, high = np.percentile(found.grid.double().numpy(), (0.5, 99.5))
    assert found.low == (0.0 if explainer.relu else pytest.approx(low, abs=1e-5 * largest))
    assert found.high == pytest.approx(high, rel=1e-5)
    if found.high > found.low:
        colours = painted(found.gray, found.grid, found.low, found.high)
        # 1 for rounding and a colour's neighbour in the table, whose steps are up to 4
        assert np.abs(found.rgb.numpy() - colours).max() <= 3


def test_gaussians_are_those_of_the_explainer_in_pixels_of_the_frame() -> None:
    frame = _frame((84, 51))
    explainer = _explainer("respond", upsample="gaussian", sigma=(4.0, 3.0))
    found = Overlay(explainer, (84, 51), "uint16", preprocess=PREPROCESS, levels=(0.0, 5000.0)).show(frame)
    expected = camfast.ops.overlay(
        found.gray[None], found.grid[None], low=found.low, high=found.high, sigma=(4.0 * 84 / 21, 3.0 * 51 / 17)
    )
    # the frame itself is blended, not its bytes of grey
    assert (found.rgb.int() - expected[0].int()).abs().max() <= 1
    smooth = camfast.ops.gaussian_upsample(found.grid[None], (84, 51), (16.0, 9.0), gain="average")
    # the ends of the colours are those of the smooth map at its cells, so they lie within its range
    assert smooth.min() - 1e-6 <= found.low < found.high <= smooth.max() + 1e-6


def test_a_volume_is_shown_from_three_sides() -> None:
    shape = (9, 14, 11)
    frame = _frame(shape, "float32")
    model = volumes()
    explainer = camfast.Explainer(model, "1", "respond")
    found = Overlay(explainer, shape, "float32", volume=True, levels=(0.0, 5000.0)).show(frame)
    x = torch.from_numpy(frame)[None, None].double()
    double = camfast.Explainer(copy.deepcopy(model).double(), "1", "respond", size="grid")
    expected = double((x - x.mean()) / x.std())
    torch.testing.assert_close(found.grid.double(), expected.grid[0], rtol=1e-3, atol=1e-6)
    assert found.rgb.shape == (14 + 9, 11 + 9, 3)
    greys = (frame * (255 / 5000.0) + 0.5).astype(np.uint8)
    assert np.array_equal(found.gray[:14, :11], greys.max(0))
    assert np.array_equal(found.gray[:14, 11:], greys.max(2).T)
    assert np.array_equal(found.gray[14:, :11], greys.max(1))
    side = painted(found.gray[:14, 11:], found.grid.amax(2).T, found.low, found.high)
    assert np.abs(found.rgb[:14, 11:].numpy() - side).max() <= 3


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_the_first_frame_has_its_own_levels(dtype: str) -> None:
    frame = (1000 + 4000 * np.random.default_rng(0).random((60, 60))).astype(dtype)
    found = Overlay(camfast.Explainer(pictures(1), "3"), (60, 60), dtype).show(frame)
    black, white = np.percentile(frame, (0.1, 99.9))
    assert (found.black, found.white) == pytest.approx((black, white), rel=1e-5)
    assert np.abs(found.gray.numpy() - greys(frame, black, white)).max() <= 0.51


def test_what_was_followed_can_be_forgotten() -> None:
    explainer = camfast.Explainer(pictures(1), "3", "respond")
    pipeline = Overlay(explainer, (60, 60), "uint16")
    dark, bright = (np.full((60, 60), level, np.uint16) + _frame((60, 60)) // 50 for level in (100, 10_000))
    pipeline.show(dark)
    first = Overlay(explainer, (60, 60), "uint16").show(bright)
    pipeline.forget()
    again = pipeline.show(bright)
    assert (again.black, again.white, again.low, again.high) == (first.black, first.white, first.low, first.high)


@pytest.mark.parametrize("sigma", [3.0, (2.0, 3.0, 5.0)])
def test_a_volumes_smooth_map_is_what_is_projected(sigma: object) -> None:
    shape = (12, 20, 16)
    pipeline = Overlay(
        camfast.Explainer(volumes(), "1", "respond", upsample="gaussian", sigma=sigma), shape, "float32", volume=True
    )
    found = pipeline.show(_frame(shape, "float32"))
    cells = np.broadcast_to(sigma, 3) * np.array(found.grid.shape) / shape
    smooth = camfast.ops.gaussian_upsample(found.grid[None].double(), found.grid.shape, list(cells), gain="average")[0]
    assert (found.low, found.high) == pytest.approx(np.percentile(smooth, (0.5, 99.5)), rel=1e-4)
    for heat, place in ((smooth.amax(0), (slice(20), slice(16))), (smooth.amax(2).T, (slice(20), slice(16, None))),
                        (smooth.amax(1), (slice(20, None), slice(16)))):  # fmt: skip
        expected = painted(found.gray[place], heat, found.low, found.high)
        assert np.abs(found.rgb[place].numpy() - expected).max() <= 3


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_networks_of_other_dtypes_get_what_they_take(dtype: torch.dtype) -> None:
    frame = _frame((40, 40))
    model = pictures()
    expected = Overlay(camfast.Explainer(model, "3"), (40, 40), np.uint16, preprocess=PREPROCESS).show(frame)
    found = Overlay(
        camfast.Explainer(copy.deepcopy(model).to(dtype), "3"), (40, 40), np.uint16, preprocess=PREPROCESS
    ).show(frame)
    tolerance = 1e-5 if dtype == torch.float64 else 0.03  # bfloat16 keeps 8 bits
    torch.testing.assert_close(found.scores, expected.scores, rtol=tolerance, atol=tolerance)


def test_the_explainers_backend_paints(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    for name in ("overlay", "gaussian_upsample"):
        op = getattr(camfast.ops, name)
        monkeypatch.setattr(camfast.ops, name, lambda *a, op=op, **k: asked.append(k.get("backend")) or op(*a, **k))
    explainer = _explainer("respond", upsample="gaussian", sigma=4.0, backend="torch")
    Overlay(explainer, (40, 40), "uint16", preprocess=PREPROCESS).show(_frame((40, 40)))
    assert set(asked) == {"torch"}


def test_settings_may_change_between_frames() -> None:
    frame = _frame((30, 30))
    pipeline = Overlay(_explainer("respond"), (30, 30), "uint16", preprocess=PREPROCESS)
    predicted = pipeline.show(frame)
    other = (predicted.target + 1) % 5
    pipeline.target = other
    explained = _explainer("respond", size="grid")(pipeline.example.clone(), other)
    found = pipeline.show(frame)
    assert found.target == other
    torch.testing.assert_close(found.grid, explained.grid[0])
    pipeline.alpha = 0.0
    gray = predicted.gray.clone()
    assert torch.equal(pipeline.show(frame).rgb, gray[..., None].expand(-1, -1, 3))
    pipeline.alpha, pipeline.colormap = 1.0, "gray"
    rgb = pipeline.show(frame).rgb
    assert torch.equal(rgb[..., 0], rgb[..., 2])
    pipeline.threshold = 1.0
    hidden = (pipeline.show(frame).rgb == gray[..., None]).all(-1)
    assert hidden.float().mean() > 0.5


def test_a_new_class_gets_a_scale_of_its_own() -> None:
    pipeline = Overlay(_explainer("respond"), (30, 30), "uint16", preprocess=PREPROCESS, target=0)
    frame = _frame((30, 30))
    first = pipeline.show(frame)
    pipeline.show(_frame((30, 30), seed=3))
    pipeline.target = 1
    pipeline.show(frame)
    pipeline.target = 0
    again = pipeline.show(frame)
    assert (again.low, again.high) == pytest.approx((first.low, first.high), rel=1e-2)


def test_results_outlive_one_more_frame() -> None:
    pipeline = Overlay(_explainer(), (30, 30), "uint16", preprocess=PREPROCESS)
    frames = [_frame((30, 30), seed=seed) for seed in range(3)]
    first = pipeline.show(frames[0])
    copied = first.rgb.clone()
    second = pipeline.show(frames[1])
    assert torch.equal(first.rgb, copied)
    third = pipeline.show(frames[2])
    assert third.rgb.data_ptr() == first.rgb.data_ptr() != second.rgb.data_ptr()


def test_nothing_large_is_allocated_but_by_the_model() -> None:
    class Still(nn.Module):
        """Gives scores without allocating much: what is allocated is the pipeline's."""

        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Conv2d(1, 1, 8, stride=8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layer(x).flatten(1)[:, :3]

    preprocess = Preprocess(size=128, channels="L")
    pipeline = Overlay(camfast.Explainer(Still().eval(), "layer"), (512, 512), "uint16", preprocess=preprocess)
    frame = _frame((512, 512))
    pipeline(frame)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        pipeline(frame)
    allocated = sum(event.self_cpu_memory_usage for event in profile.events() if event.self_cpu_memory_usage > 0)
    assert allocated < 0.5 * frame.nbytes  # the frame alone has 512 KiB, and as float32 twice that


def test_times_are_stamped_and_the_model_is_left_alone() -> None:
    model = pictures()
    pipeline = Overlay(camfast.Explainer(model, "3"), (30, 30), "uint16", preprocess=PREPROCESS)
    picture = pipeline.show(_frame((30, 30)))
    assert list(picture.milliseconds) == ["prepare", "forward", "map", "scale", "colour", "results"]
    assert all(value >= 0 for value in picture.milliseconds.values())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_frames_that_only_read_and_tensors_are_taken() -> None:
    frame = _frame((30, 30))
    pipeline = Overlay(_explainer(), (30, 30), "uint16", preprocess=PREPROCESS, levels=(0.0, 5000.0))
    expected = pipeline.show(frame).rgb.clone()
    frame.flags.writeable = False
    assert torch.equal(pipeline.show(frame).rgb, expected)
    assert torch.equal(pipeline.show(torch.tensor(frame.copy())).rgb, expected)
    assert torch.equal(pipeline.show(np.asfortranarray(frame)).rgb, expected)


def test_nan_in_the_scores_is_magenta() -> None:
    frame = np.full((30, 30), np.nan, np.float32)
    pipeline = Overlay(_explainer(), (30, 30), "float32", preprocess=PREPROCESS, levels=(0.0, 1.0), alpha=0.0)
    rgb, scores = pipeline(frame)
    assert scores.isnan().all()
    assert (rgb == torch.tensor([255, 0, 255])).all()
    rgb, scores = pipeline(np.random.default_rng(0).random((30, 30), np.float32))
    assert scores.isfinite().all()
    assert not (rgb == torch.tensor([255, 0, 255])).all(-1).any()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"frame_shape": (30,)}, ValueError, "frame_shape"),
        ({"dtype": "int16"}, ValueError, "dtype must be one of"),
        ({"target": 5}, ValueError, "class from 0 to 4"),
        ({"target": "all"}, ValueError, "class from 0 to 4"),
        ({"half_life": 0.0}, ValueError, "half_life"),
        ({"alpha": 5.0}, ValueError, "alpha must be between"),
        ({"threshold": -1.0}, ValueError, "threshold"),
        ({"colormap": "rainbow"}, ValueError, "colormap must be one of"),
        ({"levels": (1, 1)}, ValueError, "levels must be"),
        ({"volume": True, "frame_shape": (30, 30, 30)}, ValueError, "preprocess is for pictures"),
    ],
)
def test_arguments_that_are_refused(change: dict[str, object], error: type[Exception], message: str) -> None:
    arguments = {"frame_shape": (30, 30), "dtype": "uint16", "preprocess": PREPROCESS, **change}
    with pytest.raises(error, match=message):
        Overlay(_explainer(), **arguments)  # type: ignore[arg-type]


def test_frames_that_are_refused() -> None:
    pipeline = Overlay(_explainer(), (30, 30), "uint16", preprocess=PREPROCESS)
    with pytest.raises(ValueError, match=r"takes uint16 frames \(30, 30\), found uint8 \(30, 30\)"):
        pipeline(_frame((30, 30), "uint8"))
    with pytest.raises(ValueError, match=r"found uint16 \(30, 31\)"):
        pipeline(_frame((30, 31)))
    with pytest.raises(TypeError, match="must be a numpy array or a tensor, found list"):
        pipeline([[1]])  # type: ignore[arg-type]


def test_networks_that_give_no_class_scores_are_refused() -> None:
    segmenter = pictures()[:-2]
    with pytest.raises(ValueError, match=r"needs a network with scores \(N, C\)|Region"):
        Overlay(camfast.Explainer(segmenter, "3"), (30, 30), "uint16", preprocess=PREPROCESS)
    with pytest.raises(ValueError, match="single one"):
        Overlay(camfast.Explainer(pictures(), ["1", "3"]), (30, 30), "uint16", preprocess=PREPROCESS)
