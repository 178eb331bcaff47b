"""Pictures of maps, of what went into them, and of what a layer sees.

Figures are made without pyplot, so they need no display and no closing. Needs the extra ``plot``.
"""

from camfast.plot.feature_maps import feature_maps
from camfast.plot.grid import grid
from camfast.plot.isosurface import isosurface
from camfast.plot.markers import Markers
from camfast.plot.overlay import overlay
from camfast.plot.receptive_field import receptive_field
from camfast.plot.saving import save
from camfast.plot.slices import slices
from camfast.plot.style import DARK, LIGHT
from camfast.plot.sweep import sweep
from camfast.plot.units import units

__all__ = [
    "DARK",
    "LIGHT",
    "Markers",
    "feature_maps",
    "grid",
    "isosurface",
    "overlay",
    "receptive_field",
    "save",
    "slices",
    "sweep",
    "units",
]
