"""How good maps are: sums against scores, confidence, deletion, randomisation, and intervals for all of them."""

from camfast.metrics.confidence import ConfidenceChange, average_drop, confidence_change, increase_in_confidence
from camfast.metrics.curves import PerturbationCurve, deletion, insertion
from camfast.metrics.intervals import Interval, bootstrap, paired_bootstrap
from camfast.metrics.localisation import ShareInside, share_inside
from camfast.metrics.randomization import RandomizationCheck, randomization_check
from camfast.metrics.removal import RegionDrop, region_drop
from camfast.metrics.similarity import Similarity
from camfast.metrics.sums import SumToScore, sum_to_score

__all__ = [
    "ConfidenceChange",
    "Interval",
    "PerturbationCurve",
    "RandomizationCheck",
    "RegionDrop",
    "ShareInside",
    "Similarity",
    "SumToScore",
    "average_drop",
    "bootstrap",
    "confidence_change",
    "deletion",
    "increase_in_confidence",
    "insertion",
    "paired_bootstrap",
    "randomization_check",
    "region_drop",
    "share_inside",
    "sum_to_score",
]
