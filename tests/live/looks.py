"""Small looks for sessions, frames for them, and the sum that has to be right in each."""

import numpy as np
from numpy.typing import NDArray

import camfast
from camfast.live import Looks, Session
from camfast.models import Preprocess
from tests.live.networks import pictures

LOOKS = Looks(camfast.Explainer(pictures(), "3"), Preprocess(size=17), labels=("a", "b", "c", "d", "e"), name="small")


def frame(seed: int, shape: tuple[int, ...] = (24, 20)) -> NDArray[np.generic]:
    return np.random.default_rng(seed).integers(0, 255, shape).astype(np.uint8)


def balanced(session: Session) -> bool:
    status = session.status()
    return bool(status["arrived"] == status["shown"] + status["dropped"] + status["failed"])
