"""Pictures of maps: over an image, and over the central slices of a volume.

Figures are made without pyplot, so they need no display and no closing. Needs the extra ``plot``.
"""

from camfast.plot.grid import grid
from camfast.plot.isosurface import isosurface
from camfast.plot.markers import Markers
from camfast.plot.overlay import overlay
from camfast.plot.receptive_field import receptive_field
from camfast.plot.saving import save
from camfast.plot.slices import slices
from camfast.plot.style import DARK, LIGHT

__all__ = ["DARK", "LIGHT", "Markers", "grid", "isosurface", "overlay", "receptive_field", "save", "slices"]
