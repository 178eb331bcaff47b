"""Pictures of the methods' pages: one for each, drawn to scale, with the command that drew it."""

import numpy as np
import pytest
import torch

import camfast
from studies import method_pictures
from studies.common.method_panels import Panel, draw
from studies.method_pictures import FOLDER, PICTURES


def test_each_picture_is_there_and_says_its_command():
    assert {path.stem for path in FOLDER.glob("*")} == PICTURES.keys()
    for name in PICTURES:
        said = camfast.read_provenance(FOLDER / f"{name}.png")
        assert said is not None
        assert said["command"] == f"python -m studies.method_pictures {name}"


def test_a_name_that_is_none_is_refused(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["method_pictures", "gradcam", "grad-cam"])
    with pytest.raises(SystemExit):
        method_pictures.main()
    assert "there is no picture grad-cam; there are cam, gradcam" in capsys.readouterr().err


def test_a_panel_says_its_range_and_fills_the_picture():
    picture = np.full((30, 40, 3), 128, np.uint8)
    heat = torch.tensor([[-2.0, 0.0], [0.5, 1.0]])
    rows = [("class", [Panel(heat), Panel(heat, over=True)]), ("empty", [Panel(0 * heat), Panel(0 * heat, over=True)])]
    figure = draw(picture, rows, ["map", "over"])
    first, alone, over, nothing, _ = figure.axes
    assert first.get_title() == "input"
    assert alone.get_ylabel() == "class"
    assert [axes.get_xlabel() for axes in (alone, over, nothing)] == ["−2 to 1", "−2 to 1", "0 everywhere"]
    assert len(alone.images) == 1
    assert len(over.images) == 2
    assert {tuple(image.get_extent()) for image in (*alone.images, over.images[1])} == {(-0.5, 39.5, 29.5, -0.5)}
    shown = alone.images[0]
    assert (shown.norm.vmin, shown.norm.vmax) == (-2.0, 2.0), "0 in the middle"


def test_clipping_keeps_the_few_largest_values_from_paling_the_others():
    heat = torch.linspace(0, 1, 1000).reshape(20, 50)
    heat[0, 0] = 100.0
    figure = draw(np.zeros((20, 50, 3), np.uint8), [("", [Panel(heat, clipped=True)])], [""])
    axes = figure.axes[1]
    assert axes.images[0].norm.vmax == pytest.approx(0.995, abs=0.01)
    assert axes.get_xlabel().endswith("to 100")


@pytest.mark.realdata
@pytest.mark.usefixtures("data_dir")
def test_a_map_is_that_of_the_method():
    figure = method_pictures.of_layers("hirescam")
    found, labels = method_pictures.squeezenet()
    assert [label.split("\n")[0] for label in labels] == ["tiger cat", "bull mastiff"]
    wanted = camfast.cam(
        found.network, found.inputs, "fire9", list(method_pictures.CLASSES), method="hirescam", size="grid"
    )
    maps = [axes.images[0].get_array() for axes in figure.axes[1::3]]
    np.testing.assert_allclose(maps, wanted[0], rtol=1e-4, atol=1e-5)
    assert not torch.equal(wanted[0, 0], wanted[0, 1])
