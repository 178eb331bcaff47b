"""`overlay` and `running_max` against their formulas in float64."""

import pytest
import torch

from camfast import ops
from camfast.ops import reference
from camfast.ops.colormaps import color_table
from camfast.ops.forms import map_dtype
from tests.gpu.runners import DTYPES, LAYOUTS, Runner
from tests.ops import cases

IMAGES = (torch.uint8, torch.uint16, *DTYPES)
# (h, w) of the heat and (H, W) of the image: rows whose three bytes a pixel start anywhere
PICTURES = (((1, 1), (1, 1)), ((14, 14), (224, 224)), ((3, 5), (7, 63)), ((2, 64), (33, 17)), ((9, 9), (4, 257)))


def _image(runner: Runner, shape: tuple[int, ...], dtype: torch.dtype, layout: str = "contiguous") -> torch.Tensor:
    """Levels a little beyond what the dtype's range shows."""
    if dtype.is_floating_point:
        return runner.place((torch.rand(shape) * 1.2 - 0.1).to(dtype), layout)
    return runner.place(torch.randint(torch.iinfo(dtype).max + 1, shape).to(dtype), layout)


@pytest.mark.parametrize("dtype", IMAGES, ids=str)
@pytest.mark.parametrize("layout", ["contiguous", "sliced", "transposed", "misaligned"])
@pytest.mark.parametrize("sigma", [None, 3.0])
def test_overlay(runner: Runner, dtype: torch.dtype, layout: str, sigma: float | None) -> None:
    for heat_size, size in PICTURES:
        for channels in ((), (3,)):
            if dtype == torch.uint16 and layout == "sliced":
                continue  # torch can't fill what lies between the pixels
            image = _image(runner, (2, *size, *channels), dtype, layout)
            heat = runner.place(torch.randn(2, *heat_size))
            colormap = ("jet", "hot", "gray")[cases.seed(heat_size, channels, dtype) % 3]
            out = torch.full((2, *size, 3), 77, dtype=torch.uint8, device=runner.device)
            options = {"low": -0.8, "high": 1.1, "colormap": colormap, "alpha": 0.6, "sigma": sigma}
            assert ops.overlay(image, heat, out=out, backend=runner.backend, **options) is out  # type: ignore[arg-type]
            _check(out, ops.overlay(image, heat.double(), backend="torch", **options), 0.6)  # type: ignore[arg-type]


@pytest.mark.parametrize("gap", [1, 4, 192])
def test_pictures_with_gaps_between_them(runner: Runner, gap: int) -> None:
    for _, size in PICTURES:
        pixels = 3 * size[0] * size[1]
        room = torch.full((2 * (pixels + gap),), 77, dtype=torch.uint8, device=runner.device)
        out = room.as_strided((2, *size, 3), (pixels + gap, 3 * size[1], 3, 1))
        image, heat = _image(runner, (2, *size), torch.float32), runner.place(torch.randn(2, 3, 2))
        options = {"low": -0.8, "high": 1.1, "alpha": 0.6}
        ops.overlay(image, heat, out=out, backend=runner.backend, **options)
        _check(out, ops.overlay(image, heat.double(), backend="torch", **options), 0.6)
        assert bool((out.fill_(77).new_tensor(77) == room).all())


def _check(found: torch.Tensor, expected: torch.Tensor, alpha: float) -> None:
    """Equal but where a half was rounded to the other side: of the result, or of the table's index."""
    difference = (found.int() - expected.int()).abs()
    assert int(difference.max()) <= 1 + round(alpha * 4), "a step of a table is 4 levels at most"
    assert float((difference > 0).double().mean()) < 0.01 or difference.numel() < 2000


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_heat_of_any_dtype_and_levels_on_the_device(runner: Runner, dtype: torch.dtype) -> None:
    image = _image(runner, (3, 64, 48), torch.uint16)
    heat = runner.place(torch.randn(3, 7, 5).to(dtype), "transposed")
    low, high = heat.amin().float(), heat.amax().float()
    found = ops.overlay(image, heat, low=low, high=high, image_range=(1000, 50000), backend=runner.backend)
    options = {"low": float(low), "high": float(high), "image_range": (1000, 50000)}
    _check(found, ops.overlay(image, heat.double(), backend="torch", **options), 0.5)  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", IMAGES, ids=str)
def test_a_threshold_hides_what_is_below_it_and_no_more(runner: Runner, dtype: torch.dtype) -> None:
    t = torch.tensor([0.0, 0.25, 0.5, 1.0, torch.nan]).repeat(13).expand(2, 3, -1)
    for channels in ((), (3,)):
        image = _image(runner, (*t.shape, *channels), dtype)
        options = {"low": 0.0, "high": 1.0, "colormap": "hot", "backend": runner.backend}
        alone = ops.overlay(image, runner.place(t.nan_to_num()), alpha=0.0, **options)  # type: ignore[arg-type]
        for alpha in (0.6, 1.0):
            shown, found = (
                ops.overlay(image, runner.place(t), alpha=alpha, threshold=value, **options)  # type: ignore[arg-type]
                for value in (0.0, 0.5)
            )
            hidden = runner.place(t) < 0.5
            assert torch.equal(found[hidden], alone[hidden])
            _check(found[~hidden], shown[~hidden], 0.0)  # a half may go to the other side


def test_nothing_is_hidden(runner: Runner) -> None:
    """NaN of the heat is magenta in its own picture, and not far from its cell; equal ends show the lowest colour."""
    image = _image(runner, (2, 32, 32), torch.uint8)
    heat = runner.place(torch.zeros(2, 4, 4))
    heat[1, 0, 0] = torch.nan
    found = ops.overlay(image, heat, low=0.0, high=0.0, alpha=1.0, backend=runner.backend)
    expected = ops.overlay(image, heat.double(), low=0.0, high=0.0, alpha=1.0, backend="torch")
    lowest, magenta = color_table("jet", image.device)[0], _magenta(expected)
    assert torch.equal(found[0], lowest.expand(32, 32, 3))
    assert torch.equal(found[1, 20:, 20:], lowest.expand(12, 12, 3))
    assert (found[magenta] == expected[magenta]).all()
    assert found[1, 0, 0].tolist() == [255, 0, 255]


def _magenta(pictures: torch.Tensor) -> torch.Tensor:
    """Where pictures are magenta."""
    return (pictures == pictures.new_tensor([255, 0, 255])).all(-1)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_running_max(runner: Runner, dtype: torch.dtype, layout: str) -> None:
    for shape in ((1, 1), (3, 7, 9), (2, 63, 65), (4, 5, 6, 7), (1, 257, 257)):
        candidate = runner.place(torch.randn(shape, dtype=torch.float64).to(dtype), layout)
        values = runner.place(torch.randn(shape, dtype=torch.float64).to(map_dtype(dtype)))
        if values.numel() > 4:
            flat = values.view(-1)
            flat[0], flat[1] = torch.nan, candidate.reshape(-1)[1]  # stays; a tie keeps the earlier unit
            if layout != "expanded":
                candidate[(-1,) * len(shape)] = torch.nan
        index = runner.place(torch.randint(9, shape, dtype=torch.int32))
        for unit in (70_000, runner.place(torch.arange(shape[0]) + 100)):
            out = runner.poisoned(shape, values.dtype), torch.full_like(index, -1)
            found = ops.running_max(values, index, candidate, unit, out=out, backend=runner.backend)
            expected = reference.running_max(values, index, candidate, unit)
            for one, other in zip(found, expected, strict=True):
                assert torch.equal(one.nan_to_num(1e30), other.nan_to_num(1e30))
            own = values.clone(), index.clone()
            ops.running_max(*own, candidate, unit, out=own, backend=runner.backend)
            assert torch.equal(own[0].nan_to_num(1e30), expected.values.nan_to_num(1e30))
            assert torch.equal(own[1], expected.index)
