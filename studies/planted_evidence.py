"""Which maps reveal that a network judges by an artefact rather than by the particle.

Volumes of four built-in shapes get an artefact at a known place: a bright bead near an edge of the box, a stripe from
wall to wall, a mark in a corner. In training it is there in most volumes of one class and in few of the others, so that
the network learns to trust it. Explained are volumes of the other classes that are classified rightly without the
artefact, and as the favoured class with it: there the artefact alone is the reason, whatever a map says. The control
saw all three artefacts, each as often in every class, so that they say nothing; it is asked about the same volumes and
the same class. Needs no data::

    python -m studies.planted_evidence
"""

from collections.abc import Sequence

import numpy as np

from camfast import metrics
from studies.common.planted import (
    ALWAYS,
    ARTEFACTS,
    BRIGHTNESS,
    CLASSES,
    SELDOM,
    SNR,
    TESTS,
    untrained,
    volumes,
)
from studies.common.planted_maps import LAYERS, Map, known_maps
from studies.common.planted_pictures import draw_example, draw_shares
from studies.common.planted_results import (
    FEWEST,
    ROLES,
    Array,
    Kind,
    Plan,
    applicable,
    best,
    investigate,
    reveals,
)
from studies.common.report import Study, Table, arguments, interval, spread

NOTE = (
    "Mean and 95 % interval over the volumes of all seeds, for the planted network ± the spread over seeds; an empty "
    "map counts as 0. Bold: above an even map and above the control's, both by intervals paired over volumes and in "
    "every seed."
)
READING = (
    "*What we make of it.* Nearly every map reveals all three artefacts: more of it lies there than of an even map, "
    "and than of the map of a network that has seen the artefact and doesn't use it. What doesn't is named below.",
    "*`gradcam` is the one that fails most*: with the bead and maxpool2 its share isn't above the control's, its peak "
    "misses the bead in a third of the volumes at either layer, and at maxpool1 it is empty for some of the networks "
    "that know nothing but the stripe. It averages a channel's gradient over all places, and behind flatten and dense "
    "layers the gradient differs from place to place, so that the weight of a channel mostly comes from cells without "
    "the artefact. `guided_gradcam`, where it isn't empty, has some of the largest shares, and inherits the failures. "
    "`xgradcam` and `respond` weigh the gradients by the activations; `hirescam`, `layercam` and `elementwise` "
    "multiply place by place, and at maxpool1 have several times its share. But for `gradcam`, the shallower layer, "
    "whose cells are half as long, has larger shares than the deeper one throughout the family.",
    "*`saliency`, `guided_backprop` and `deconvnet`* have their peak on the artefact in only a part of the volumes "
    "where the network knows the particle too (bead, corner): single voxels are noisy, and `deconvnet` doesn't hold "
    "in every seed. *`rise`* stands on a large constant, as any mask leaves some probability: its peak is right, its "
    "share hardly above that of an even map.",
    "*Without a control a share above chance proves nothing*: at maxpool1 `gradcam++`, `respond` and `eigencam` have "
    "more than an even map has on bead and corner in the control too, where they don't count. `eigencam` knows no "
    "class: that it shows the artefact says that the network enlarges it, neither for which class nor whether.",
    "*Limits*: one narrow architecture; bright artefacts; only the favoured class's score is explained, while the "
    "artefact lowers the right one's as well; the stripe's networks have learnt nothing but the stripe.",
)


def table_of_usage(kinds: dict[str, Kind]) -> Table:
    """What each network makes of the artefact: the premise of everything below."""
    columns = ("artefact", "network", *next(iter(kinds.values())).usage["planted"][0])
    rows = []
    for name, kind in kinds.items():
        for role in ROLES:
            seeds = kind.usage[role]
            rows.append((name, role, *(spread([one[what] for one in seeds], 2) for what in seeds[0])))
    note = (
        "± is the spread over training seeds. *turned*: of the other classes' volumes that are classified rightly "
        "without the artefact, the part that it turns into the favoured class. *favoured score*, *right score*: what "
        "it adds to these scores in the other classes' volumes."
    )
    return Table("Do the networks use the artefact?", columns, rows, note)


def table_of(measure_: str, title: str, kinds: dict[str, Kind], maps: Sequence[Map], note: str) -> Table:
    """A line a map; planted network with its interval and the spread over seeds, and control, for each kind."""
    columns = ("map", "layer", *(f"{name}: {role}" for name in kinds for role in ROLES))
    rows = []
    for made in maps:
        cells = []
        for kind in kinds.values():
            key = (made.name, made.layer)
            sure = "**" if reveals(kind, key, made.cell, measure_) else ""
            for role in ROLES:
                cell = figure(kind.pooled(key, measure_, role), kind.values[key][measure_, role], role)
                cells.append(f"{sure}{cell}{sure}" if role == "planted" else cell)
        rows.append((made.name, made.layer, *cells))
    return Table(title, columns, rows, note)


def figure(values: Array, by_seed: Sequence[Array], role: str) -> str:
    """Percent: mean and interval over volumes, for the planted network the spread over seeds too."""
    one = metrics.bootstrap(100 * values)
    shown = interval(one.estimate, one.low, one.high, 1)
    return f"{shown} ± {np.std([100 * np.nanmean(part) for part in by_seed]):.1f}" if role == "planted" else shown


def summary(kinds: dict[str, Kind], maps: Sequence[Map], skipped: dict[str, str]) -> list[str]:
    """What follows, by the intervals alone."""
    text = []
    for name, kind in kinds.items():
        if kind.count < FEWEST:
            text.append(f"{name}: {kind.count} volumes, too few for an order.")
            continue
        told = {
            measure_: [f"{m.name} ({m.layer})" for m in maps if not reveals(kind, (m.name, m.layer), m.cell, measure_)]
            for measure_ in ("share", "hit")
        }
        text.append(
            f"*{name}*, {kind.count} volumes: the largest shares in the artefact, with no order between them by "
            f"intervals paired over volumes and all seeds: {', '.join(best(kind, maps))}. Not above both chance and "
            f"control, by the same rule, in share: "
            f"{', '.join(told['share']) or 'none'}; in the place of the peak: {', '.join(told['hit']) or 'none'}."
        )
    text += [f"Left out: {name}, as camfast says: {reason}" for name, reason in skipped.items()]
    return text


def chances(kinds: dict[str, Kind], maps: Sequence[Map]) -> Table:
    """What an even map has, what a map on a layer's cells can have at most, and where any peak would hit."""
    near = sorted({made.cell for made in maps})
    columns = ["artefact", "even map", *(f"at most on {layer}'s grid" for layer in LAYERS)]
    columns += [f"any peak, {cell} voxels beside" for cell in near]
    rows = []
    for name, kind in kinds.items():
        shown = [kind.chance["share", 0], *(kind.best[cell] for cell in LAYERS.values())]
        shown += [kind.chance["hit", cell] for cell in near]
        rows.append((name, *(f"{100 * np.concatenate(one).mean():.2f}" for one in shown)))
    note = "In percent of a map; of the volume for peaks, which may lie one cell beside the artefact."
    return Table("What chance gives, and what the grids allow", columns, rows, note)


def draw(study: Study, kinds: dict[str, Kind], maps: Sequence[Map]) -> None:
    """One volume of each kind with all maps, and the shares of all maps."""
    for name, kind in kinds.items():
        assert kind.example is not None
        one = kind.example
        said = f"a {one.true} that the {name} (outlined) turns into a {one.favoured}; the slice along z through it"
        study.picture(
            draw_example(one, list(LAYERS)), name, f"Maps of activations and gradients of {said}.", artefact=name
        )
        study.picture(draw_example(one, ["input"]), f"{name}_input", f"Maps without a layer of {said}.", artefact=name)
    shares = {
        name: {
            (made.name, made.layer): {
                role: metrics.bootstrap(kind.pooled((made.name, made.layer), "share", role)) for role in ROLES
            }
            for made in maps
        }
        for name, kind in kinds.items()
    }
    even = {name: float(np.concatenate(kind.chance["share", 0]).mean()) for name, kind in kinds.items()}
    most = {
        name: {(m.name, m.layer): float(np.concatenate(kind.best[m.cell]).mean()) for m in maps if on_grid(m)}
        for name, kind in kinds.items()
    }
    study.picture(
        draw_shares(shares, even, most),
        "shares",
        "Share of each map's magnitude in the artefact, with 95 % intervals over volumes; dotted: an even map; grey: "
        "the largest share that a map on this grid can have, upsampled linearly.",
    )


def on_grid(made: Map) -> bool:
    """Whether a map is made on a layer's cells and upsampled linearly."""
    return made.layer in LAYERS and made.name not in ("extended", "guided_gradcam")


def report(study: Study, found: dict[str, Kind], maps: Sequence[Map], skipped: dict[str, str]) -> None:
    """What came out, in text, tables and pictures."""
    kinds = {name: kind for name, kind in found.items() if kind.count}
    study.measurements.update({name: kind.numbers() for name, kind in found.items()}, skipped=skipped)
    study.text += [*([] if study.quick else READING), *summary(kinds, maps, skipped)]
    study.tables += [
        table_of_usage(found),
        chances(kinds, maps),
        table_of("share", "Share of the map's magnitude inside the artefact, in %", kinds, maps, NOTE),
        table_of("positive", "Share of the map's positive part inside the artefact, in %", kinds, maps, ""),
        table_of("hit", "Maps whose peak lies in the artefact or a cell beside it, in %", kinds, maps, ""),
    ]
    draw(study, kinds, maps)


def main() -> None:
    """Train where that is still to do, measure, and write."""
    quick = arguments(__doc__).parse_args().quick
    study = Study("planted_evidence", quick)
    plan = Plan(seeds=1, epochs=1, volumes=3, turned=False) if quick else Plan()
    clean, classes = volumes(16 if quick else 400)
    maps, skipped = applicable(known_maps(64 if quick else 256), untrained(), clean[:1])
    study.facts.update(
        network="CNN-2 with 8 and 16 channels",
        classes=", ".join(CLASSES),
        snr=SNR,
        fitted_volumes=len(classes) - TESTS,
        epochs=plan.epochs,
        training_seeds=plan.seeds,
        present=f"in {100 * ALWAYS:g} % of the favoured class and {100 * SELDOM:g} % of the others",
        brightness=f"{BRIGHTNESS:g} standard deviations",
        intervals="95 %, bootstrap over volumes of all seeds",
    )
    found = {name: investigate(name, maps, clean, classes, plan) for name in ARTEFACTS}
    report(study, found, maps, skipped)
    study.write()


if __name__ == "__main__":
    main()
