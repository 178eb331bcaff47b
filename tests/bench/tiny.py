"""Networks of the benchmarks' kind that take no time."""

from torch import nn

from bench.networks import Network


def tiny_network(dimensions: int = 2) -> Network:
    """A convolution, a ReLU, a pool and a dense layer: 5 classes of inputs of 8 a side."""
    convolution = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dimensions - 1]
    pool = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)[dimensions - 1]

    def build() -> nn.Module:
        layers = (convolution(1, 4, 3, padding=1), nn.ReLU(True), pool(2))
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(4 * 4**dimensions, 5))

    return Network("Tiny", build, "2", (1, *[8] * dimensions), (1, 8), 2.0)


def tiny_segmenter(dimensions: int) -> Network:
    """Two convolutions: 2 classes at each place of inputs of 6 a side."""
    convolution = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dimensions - 1]

    def build() -> nn.Module:
        return nn.Sequential(convolution(1, 4, 3, padding=1), nn.ReLU(), convolution(4, 2, 1))

    return Network("Tiny segmenter", build, "1", (1, *[6] * dimensions), (1,), 1.0, region=True)
