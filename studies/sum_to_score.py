"""Does the sum of a map follow the score? Table 1 of Respond-CAM (Zhao et al. 2018), on 23 other macromolecules.

For each test subtomogram the maps of all 23 classes are taken at the second max-pool, on the grid and signed. L1 is the
mean distance of their sums from the scores before softmax, τ is Kendall's τ-b between the two. Needs CNN-2 trained at
both signal-to-noise ratios::

    python -m studies.train_subtomograms --snr inf
    python -m studies.train_subtomograms --snr 0.1
    python -m studies.sum_to_score
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

import camfast
from camfast import metrics
from camfast.gradients import target_gradients
from studies.common import sum_to_score_pictures as pictures
from studies.common.report import Study, Table, arguments, interval, spread
from studies.common.subtomograms import Pool, batches, pool
from studies.train_subtomograms import quick_network, trained

LAYER = "maxpool2"
FAMILY = ("respond", "xgradcam", "hirescam", "extended")
METHODS = ("gradcam", "gradcam++", *FAMILY, "elementwise", "layercam", "eigencam", "eigengradcam")
PUBLISHED = (
    ("L1, Grad-CAM", "15.344 ± 7.789", "8.117 ± 3.854", "21.142 ± 8.511", "14.020 ± 5.232"),
    ("L1, Respond-CAM", "0.601 ± 0.187", "0.770 ± 0.366", "1.006 ± 0.721", "0.542 ± 0.194"),
    ("τ, Grad-CAM", "0.273 ± 0.350", "0.822 ± 0.097", "−0.116 ± 0.341", "0.458 ± 0.260"),
    ("τ, Respond-CAM", "0.981 ± 0.014", "0.976 ± 0.018", "0.975 ± 0.024", "0.984 ± 0.013"),
)


@dataclass
class Outcome:
    """What one network gives, a tensor (N,) or (N, C) by method."""

    l1: dict[str, list[Tensor]] = field(default_factory=dict)
    tau: dict[str, list[Tensor]] = field(default_factory=dict)
    sums: dict[str, list[Tensor]] = field(default_factory=dict)
    scores: list[Tensor] = field(default_factory=list)
    covariance: list[Tensor] = field(default_factory=list)

    def add(self, method: str, grid: Tensor, scores: Tensor) -> None:
        """Keep the metrics of one batch."""
        l1, tau = metrics.sum_to_score(grid, scores)
        self.l1.setdefault(method, []).append(l1)
        self.tau.setdefault(method, []).append(tau)
        self.sums.setdefault(method, []).append(grid.flatten(2).sum(-1))

    def all(self, kind: str, method: str) -> Tensor:
        """One quantity of a method over all batches."""
        return torch.cat(getattr(self, kind)[method])


def measure(network: torch.nn.Module, found: Pool, snr: float, count: int) -> Outcome:
    """Metrics of every method on the test split, the covariance term beside them."""
    outcome = Outcome()
    for images, _ in batches(found, found.indices("test")[:count], 32, snr):
        with camfast.capture(network, LAYER) as captured:
            scores = network(images.contiguous(memory_format=torch.channels_last_3d))
        for method in METHODS:
            upsample = "linear" if method == "extended" else None  # on the grid nothing is upsampled
            grid = captured.map(scores, method, relu=False, size="grid", upsample=upsample)
            outcome.add(method, grid, scores.detach())
        outcome.scores.append(scores.detach())
        outcome.covariance.append(covariance(captured.activations, scores))
    return outcome


def covariance(activations: Tensor, scores: Tensor) -> Tensor:
    """Z·Σ_k Cov_p(A_k, G_k) for each sample and class, (N, C): what the sum of Grad-CAM lacks."""
    A = activations.detach().double().flatten(2)
    centred = A - A.mean(-1, keepdim=True)
    parts = [
        torch.einsum("nkp,tnkp->nt", centred, G.double().flatten(3))
        for _, (G,) in target_gradients(scores, [activations], retain_graph=True)
    ]
    return torch.cat(parts, 1)


def rows(outcome: Outcome) -> list[tuple[str, ...]]:
    """A row for each method; the methods with identical sums share one."""
    scores, term = torch.cat(outcome.scores), torch.cat(outcome.covariance)
    shown = []
    for method in METHODS:
        if method in FAMILY[1:]:
            continue
        beside = outcome.all("sums", method) - outcome.all("sums", "gradcam")
        family = method == FAMILY[0]
        shown.append(
            (
                " = ".join(FAMILY) if family else method,
                spread(outcome.all("l1", method)),
                spread(outcome.all("tau", method)),
                f"{(beside - term).abs().max():.1e} of {term.abs().mean():.2f}" if family else "",
                spread(scores - outcome.all("sums", method)),
            )
        )
    return shown


def figures(outcome: Outcome) -> dict[str, object]:
    """Everything measured, for the JSON file."""
    difference = {
        kind: metrics.paired_bootstrap(outcome.all(kind, "respond"), outcome.all(kind, "gradcam"))
        for kind in ("l1", "tau")
    }
    family = max(
        float((outcome.all("sums", other) - outcome.all("sums", "respond")).abs().max()) for other in FAMILY[1:]
    )
    return {
        "samples": len(torch.cat(outcome.scores)),
        "methods": {
            method: {
                kind: {"mean": float(outcome.all(kind, method).nanmean()), "std": _deviation(outcome.all(kind, method))}
                for kind in ("l1", "tau")
            }
            for method in METHODS
        },
        "respond_minus_gradcam": {kind: vars(found) for kind, found in difference.items()},
        "largest_difference_of_sums_in_the_family": family,
    }


def _deviation(values: Tensor) -> float:
    known = values[~values.isnan()]
    return float(known.std(correction=0)) if len(known) else math.nan


def report(study: Study, networks: Sequence[tuple[str, str, float, Outcome]]) -> None:
    """Tables of each network and of what was published."""
    columns = ("method", "L1", "τ-b", "ΣL − ΣL(gradcam) against Z·ΣCov", "y − ΣL")
    for name, accuracy, _, outcome in networks:
        found = figures(outcome)
        study.measurements[name] = found
        tau = metrics.paired_bootstrap(outcome.all("tau", "respond"), outcome.all("tau", "gradcam"))
        l1 = metrics.paired_bootstrap(outcome.all("l1", "respond"), outcome.all("l1", "gradcam"))
        note = (
            f"respond − gradcam, mean over {found['samples']} subtomograms with 95 % interval: "
            f"τ {interval(tau.estimate, tau.low, tau.high, 3)}, L1 {interval(l1.estimate, l1.low, l1.high, 3)}."
        )
        study.tables.append(Table(f"{name}, test accuracy {accuracy}", columns, rows(outcome), note))
    heads = ("published", "CNN-1, ∞", "CNN-2, ∞", "CNN-1, 0.1", "CNN-2, 0.1")
    note = "On other data and weights, not comparable in value: sign, order and ratio are. CNN-1 was not trained here."
    study.tables.append(Table("Zhao et al. 2018, Table 1 (4,600 subtomograms)", heads, PUBLISHED, note))


def main() -> None:
    """Measure CNN-2 at both signal-to-noise ratios."""
    quick = arguments(__doc__).parse_args().quick
    found = pool(25 if quick else 1000)
    study = Study("sum_to_score", quick)
    networks = []
    for snr in (math.inf, 0.1):
        loaded = quick_network(found, snr) if quick else trained("cnn2", snr)
        network = loaded.module.to(memory_format=torch.channels_last_3d)
        outcome = measure(network, found, snr, 64 if quick else 4600)
        shown = "∞" if math.isinf(snr) else f"{snr:g}"
        networks.append((f"CNN-2, SNR {shown}", f"{loaded.metadata['accuracy']:.4f}", snr, outcome))
        if math.isinf(snr):
            study.facts.update(loaded.metadata["training"])
            pictures.draw(study, network, found)
    study.facts["spread"] = "± is the standard deviation over test subtomograms; one training seed"
    report(study, networks)
    study.picture(pictures.sums_against_scores(networks), "sums", "Sum of each map against its score, all classes.")
    study.write()


if __name__ == "__main__":
    main()
