"""From a layer's grid to pixels: which upsampling, with its parameters checked once."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from camfast import ops
from camfast.ops.forms import GAINS, SIGMA_MISSING, UPSAMPLES, Centres, Gain, Upsample


@dataclass(frozen=True)
class Upsampling:
    """How a grid becomes a map.

    Attributes
    ----------
    mode : str
        ``"linear"`` or ``"gaussian"``.
    sigma : float or sequence of float, optional
        σ of the Gaussians in pixels, one number or one a spatial axis.
    gain : str
        ``"spray"``, ``"average"`` or ``"mass"``, see `camfast.ops.gaussian_upsample`.
    centres : sequence of (start, step), optional
        Centres of the cells in pixels; by default cells tile the image.

    Raises
    ------
    ValueError
        If the parameters don't fit the mode.
    """

    mode: Upsample = "linear"
    sigma: float | Sequence[float] | None = None
    gain: Gain = "spray"
    centres: Centres | None = None

    def __post_init__(self) -> None:
        if self.mode not in UPSAMPLES:
            raise ValueError(f"upsample must be one of {', '.join(UPSAMPLES)}, found {self.mode!r}")
        if self.gain not in GAINS:
            raise ValueError(f"gain must be one of {', '.join(GAINS)}, found {self.gain!r}")
        if self.mode == "linear" and (self.sigma is not None or self.centres is not None):
            raise ValueError("sigma and centres belong to upsample='gaussian', found them with 'linear'")
        if self.mode == "gaussian" and self.sigma is None:
            raise ValueError(SIGMA_MISSING)
        if isinstance(self.sigma, str):
            raise ValueError(
                f"sigma must be in pixels, one number or one a spatial axis, found {self.sigma!r}: "
                "camfast.effective_receptive_field measures it, as sigma='auto' of an Explainer with calibration= does"
            )

    def apply(
        self, grid: Tensor, size: Sequence[int], *, out: Tensor | None = None, backend: str | None = None
    ) -> Tensor:
        """Upsample a grid (N, *S) or (N, T, *S) to (N, *size) or (N, T, *size)."""
        if self.sigma is None:
            return ops.linear_upsample(grid, size, out=out, backend=backend)
        return ops.gaussian_upsample(
            grid, size, self.sigma, gain=self.gain, centres=self.centres, out=out, backend=backend
        )
