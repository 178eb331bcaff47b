"""How well the maps of the bundled network find each of its classes: the table of its decision page.

``python -m bench.bundled_network`` scans simulated tomograms like the demo's, for all classes at once, and prints which
share of the true particles, and of all the others, has a value among the volume's top 5 % within 2 voxels.
"""

import argparse

from camfast import Explainer, models, simulate
from camfast.cli.demo import METHOD, PARTICLES, SHAPE, STRIDE
from camfast.cli.demo_page import centres_by_label
from camfast.scan import scan
from camfast.scan.showing.report import count_hits, together


def measure(seed: int, snr: float | None, blend: str) -> dict[str, tuple[float, float]]:
    """Share of true particles and of others that are hit, in per cent, by class, in one tomogram."""
    loaded = models.load("subtomogram_demo")
    assert loaded.labels is not None
    assert loaded.layer is not None
    tomogram = simulate.tomogram(SHAPE, PARTICLES, seed=seed, snr=snr or loaded.metadata["training"]["snr"])
    classes = [index for index, label in enumerate(loaded.labels) if label != "nothing"]
    window = tuple(loaded.metadata["window"])
    explainer = Explainer(loaded.module, loaded.layer, METHOD)
    result = scan(tomogram.data, explainer, window=window, stride=STRIDE, target=classes, blend=blend, progress=False)  # type: ignore[arg-type]
    found = {}
    for index, cam in zip(classes, result.cam, strict=True):
        label = loaded.labels[index]
        counts = count_hits(cam, centres_by_label(tomogram))
        own = together([count for count in counts if count.label == label], label)
        others = together([count for count in counts if count.label != label], "others")
        found[label] = (own.percent, others.percent)
    return found


def main() -> None:
    """Measure some tomograms and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tomograms", type=int, default=6, help="how many, with the seeds from 0 (default 6)")
    parser.add_argument("--snr", type=float, help="nominal SNR (default: the network's own)")
    parser.add_argument("--blend", default="center")
    options = parser.parse_args()
    runs = [measure(seed, options.snr, options.blend) for seed in range(options.tomograms)]
    print("| class | true, worst | true, mean | others, worst | others, mean |\n|---|---|---|---|---|")
    for label in sorted(runs[0]):
        true, others = zip(*(run[label] for run in runs), strict=True)
        cells = (min(true), sum(true) / len(true), max(others), sum(others) / len(others))
        print(f"| {label} | {' | '.join(f'{cell:.0f} %' for cell in cells)} |")


if __name__ == "__main__":
    main()
