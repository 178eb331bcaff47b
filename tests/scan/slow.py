"""A layer that takes its time on a worker, says which process runs it, and can end it."""

import os
import signal
import time
from pathlib import Path

import torch
from torch import Tensor, nn


class Slow(nn.Module):
    """Passes values on; elsewhere than in the process where it was made it does what it is told.

    Parameters
    ----------
    seconds
        It waits so long.
    folder
        It leaves a file with the number of the process there.
    fatal
        It kills the process.
    """

    def __init__(self, seconds: float = 0.0, folder: Path | None = None, *, fatal: bool = False) -> None:
        super().__init__()
        self.seconds, self.folder, self.fatal, self.home = seconds, folder, fatal, os.getpid()

    def forward(self, values: Tensor) -> Tensor:
        if os.getpid() != self.home:
            if self.folder is not None:
                (self.folder / str(os.getpid())).touch()
            time.sleep(self.seconds)
            if self.fatal:
                os.kill(os.getpid(), signal.SIGKILL)
        return values


class Spoiled(nn.Module):
    """NaN in windows brighter than a threshold."""

    def __init__(self, threshold: float) -> None:
        super().__init__()
        self.threshold = threshold

    def forward(self, values: Tensor) -> Tensor:
        bright = values.amax(dim=tuple(range(1, values.ndim)), keepdim=True) > self.threshold
        return torch.where(bright, torch.nan, values)
