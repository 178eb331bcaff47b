"""A scene that moves, seen by a noisy camera: each of its frames can be computed alone."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

LEVEL = 1500  # of the background, in counts of a camera of 16 bits
WAVES, WAVE_HEIGHT = 8, 75
WAVELENGTHS = (0.05, 0.5)  # as shares of the longest axis
NOISE, MOST_NOISE = 60.0, 5.0  # σ in counts; in σ
PARTICLES, BRIGHTNESS, STEPS = 24, 2000, 16
LARGEST_SLACK = 64
SPEEDS = 32  # up to this, in sixteenths of a pixel a frame
# σ of a particle, as a share of the shortest axis: small in pictures, larger in volumes, whose axes are short
SIGMAS = {2: (1 / 128, 1 / 64, 1 / 40), 3: (1 / 24, 1 / 16, 1 / 12)}
REACH = 3.5  # in σ


class Scene:
    """Particles that drift, fade and turn at the borders, over a texture that drifts, with noise of its own a frame.

    Frame i = T[x + a(i)] + N[x + b(i)] + Σₖ Pₖ[x − cₖ(i)], with tiles T of texture and N of noise that are larger than
    the frame, particles P, and whole numbers a, b, c that depend on i and the seed alone. The sum stays below 65536.

    Parameters
    ----------
    shape
        (H, W) or (D, H, W).
    seed
        Of all that is random; the same seed and version of numpy give the same frames.

    Examples
    --------
    >>> scene = Scene((64, 48), seed=3)
    >>> bool((scene.frame(7) == Scene((64, 48), seed=3).frame(7)).all())
    True
    """

    def __init__(self, shape: Sequence[int], seed: int) -> None:
        self._shape, self._seed = tuple(shape), seed
        random = np.random.default_rng(seed)
        self._slack = tuple(min(LARGEST_SLACK, max(1, extent // 2)) for extent in shape)
        tile = tuple(extent + slack for extent, slack in zip(self._shape, self._slack, strict=True))
        self._texture = _texture(tile, random)
        noise = random.standard_normal(tile, np.float32).clip(-MOST_NOISE, MOST_NOISE)
        self._noise = np.rint((noise + MOST_NOISE) * NOISE).astype(np.uint16)
        sigmas = [share * min(shape) for share in SIGMAS[len(shape)]]
        self._particles = [_particle(sigma, min(shape), len(shape)) for sigma in sigmas]
        self._starts = random.integers(0, 1 << 20, (PARTICLES, len(shape))).tolist()
        self._speeds = random.integers(1, SPEEDS + 1, (PARTICLES, len(shape))).tolist()

    def frame(self, number: int) -> NDArray[np.uint16]:
        """Return a frame, in an array of its own."""
        drift = [_turned(number * (axis + 1) // 4, slack) for axis, slack in enumerate(self._slack)]
        words = np.random.SeedSequence((self._seed, number)).generate_state(len(self._shape))
        other = [int(word) % (slack + 1) for word, slack in zip(words, self._slack, strict=True)]
        frame = np.add(self._texture[self._window(drift)], self._noise[self._window(other)])
        for index, (starts, speeds) in enumerate(zip(self._starts, self._speeds, strict=True)):
            patches = self._particles[index % len(self._particles)]
            patch = patches[_turned(starts[0] + number // 4, STEPS - 1)]
            place = []
            for start, speed, extent, length in zip(starts, speeds, self._shape, patch.shape, strict=True):
                low = _turned(start + number * speed // 16, extent - length)
                place.append(slice(low, low + length))
            frame[tuple(place)] += patch
        return frame

    def _window(self, offsets: Sequence[int]) -> tuple[slice, ...]:
        return tuple(slice(offset, offset + extent) for offset, extent in zip(offsets, self._shape, strict=True))


def _turned(position: int, last: int) -> int:
    """Position from 0 to ``last`` of something that turns back at both ends."""
    if last == 0:
        return 0
    position %= 2 * last
    return min(position, 2 * last - position)


def _texture(shape: Sequence[int], random: np.random.Generator) -> NDArray[np.uint16]:
    """Sum of a few plane waves, about ``LEVEL``."""
    total = np.full(shape, LEVEL, np.float32)
    for _ in range(WAVES):
        phase: NDArray[np.float32] = np.array(random.uniform(0, 2 * math.pi), np.float32)
        direction = random.standard_normal(len(shape))
        wavelength = max(shape) * random.uniform(*WAVELENGTHS)
        frequencies = 2 * math.pi / wavelength * direction / np.linalg.norm(direction)
        for axis, extent in enumerate(shape):
            line = np.arange(extent, dtype=np.float32) * np.float32(frequencies[axis])
            phase = phase + line.reshape(-1, *(1,) * (len(shape) - 1 - axis))
        total += WAVE_HEIGHT * np.sin(phase)
    return np.rint(total).astype(np.uint16)


def _particle(sigma: float, shortest: int, axes: int) -> list[NDArray[np.uint16]]:
    """A Gaussian in each brightness from none to all; it fits into the frame."""
    radius = min(math.ceil(REACH * sigma), (shortest - 1) // 2)
    squares = np.arange(-radius, radius + 1) ** 2
    distances = sum(np.meshgrid(*[squares] * axes, indexing="ij"))
    particle = BRIGHTNESS * np.exp(-distances / (2 * sigma**2))
    brightnesses = [math.sin(math.pi / 2 * step / (STEPS - 1)) ** 2 for step in range(STEPS)]
    return [np.rint(particle * brightness).astype(np.uint16) for brightness in brightnesses]
