"""The state of neuroglancer, which is a link: OME-Zarr images that this machine serves, and picks."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from camfast.scan.showing.viewing import Output, stretch
from camfast.scan.volumes import Volume

SITE = "https://neuroglancer-demo.appspot.com"
TYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "float32")
"""Types of values that neuroglancer reads."""
MOST_POINTS = 500
PICK_COLOR = "#00d0ff"
_GREY = "#uicontrol invlerp normalized\nvoid main() { emitGrayscale(0.7 * normalized()); }\n"
_HOT = (
    "#uicontrol invlerp normalized\n"
    "void main() {\n"
    "  vec3 shifts = vec3(0.0, 1.0, 2.0);\n"
    "  emitRGB(clamp(3.0 * normalized() - shifts, 0.0, 1.0));\n"
    "}\n"
)
_METRES_PER_ANGSTROM = 1e-10
_PANEL = 400
"""Pixels of a panel that the longest axis fills at first."""


def neuroglancer_state(
    output: Output, density: Volume | None, addresses: Mapping[str, str], limits: bool = True
) -> dict[str, Any]:
    """Describe a view of a map over its density.

    Parameters
    ----------
    output
        What a scan wrote.
    density
        What was scanned.
    addresses
        Where the OME-Zarr images ``"map"`` and ``"density"`` are served.
    limits
        Whether to read values, for limits of grey and colours; without, neuroglancer asks the images.

    Returns
    -------
    dict
        Fit for JSON. Of several maps the first is shown; of picks the first 500 of each class.
    """
    size = output.voxel_angstrom
    # x first: the panel at the upper left looks along the last of them
    dimensions = {
        axis: [1, ""] if size is None else [size[place] * _METRES_PER_ANGSTROM, "m"]
        for place, axis in ((2, "x"), (1, "y"), (0, "z"))
    }
    first = [0.0] * 3 if size is None else [t / s for t, s in zip(output.translation, size, strict=True)]
    layers = []
    if density is not None and "density" in addresses:
        name = "density" if density.path is None else density.path.name
        layers.append(_image(name, addresses["density"], _GREY, stretch(density) if limits else None))
    for index, name in enumerate(output.names):
        layer = _image(f"map: {name}", addresses["map"], _HOT, output.limits(index) if limits else None)
        layer |= {"blend": "additive", "visible": index == 0}
        if output.several:
            layer |= {"localDimensions": {"c'": [1, ""]}, "localPosition": [index]}
        layers.append(layer)
    if size is not None:
        for picked in output.picks():
            places = picked.position[:MOST_POINTS] / size + first
            points = [{"type": "point", "id": str(n), "point": place[::-1].tolist()} for n, place in enumerate(places)]
            layers.append(
                {
                    "type": "annotation",
                    "name": f"picks: {picked.name}",
                    "source": {"url": "local://annotations", "transform": {"outputDimensions": dimensions}},
                    "annotationColor": PICK_COLOR,
                    "annotations": points,
                    "visible": output.owns(picked, 0),
                }
            )
    return {
        "dimensions": dimensions,
        "position": [length / 2 + start for length, start in zip(output.shape, first, strict=True)][::-1],
        "crossSectionScale": max(output.shape) / _PANEL,
        "projectionScale": 2 * max(output.shape),
        "layers": layers,
        "layout": "4panel",
    }


def link_to(state: Mapping[str, Any], site: str = SITE) -> str:
    """Return the address that opens a state.

    Examples
    --------
    >>> link_to({"layout": "xy"})
    'https://neuroglancer-demo.appspot.com/#!%7B%22layout%22:%22xy%22%7D'
    """
    return f"{site}/#!{quote(json.dumps(state, separators=(',', ':')), safe='/:,|()')}"


def _image(name: str, address: str, shader: str, limits: tuple[float, float] | None) -> dict[str, Any]:
    layer: dict[str, Any] = {
        "type": "image",
        "name": name,
        "source": f"{address}/|zarr:",
        "shader": shader,
        "opacity": 1,
    }
    return layer if limits is None else {**layer, "shaderControls": {"normalized": {"range": list(limits)}}}
