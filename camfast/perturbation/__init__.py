"""Maps that need no gradient and no layer: what happens to a score when parts of the input are hidden."""

from camfast.perturbation.occlusion import occlusion
from camfast.perturbation.rise import rise

__all__ = ["occlusion", "rise"]
