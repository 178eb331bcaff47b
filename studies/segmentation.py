"""What makes a segmenter see it there? Seg-Grad-CAM against Seg-HiRes-Grad-CAM and the others, in 2-D and 3-D.

Seg-Grad-CAM is `gradcam` and Seg-HiRes-Grad-CAM `hirescam` with a region: the score is the sum of a class over the
whole image, over the pixels predicted as the class, over a connected component of them, or at one point. Maps are taken
at several depths, never at the last layer, where `hirescam` lies inside the region by construction. Needs two U-Nets::

    python -m studies.train_segmenters --dimensions 3
    python -m studies.train_segmenters --dimensions 2
    python -m studies.segmentation
"""

import camfast
from studies.common import brain, segmentation_pictures, segmenters
from studies.common import segmentation_tables as tables
from studies.common.report import Study, Table, arguments
from studies.common.segments import GRAD, HIRES, METHODS, REGIONS, measure
from studies.common.tomograms import LABELS, SNR

LIMIT = 120.0
"""Seconds that a method may take on a volume of 128³."""
PICTURED = (("volumes", 0), ("slices", 1), ("head", 0))
"""The sample of each case that is drawn."""


def costs(study: Study) -> None:
    """Seconds and peak memory of an explanation at 128³, each method in a process of its own on two threads."""
    side = 32 if study.quick else brain.SIDE
    found = [brain.cost(method, side, threads=2) for method in ((GRAD, HIRES) if study.quick else METHODS)]
    study.measurements["meshnet_cost"] = found
    rows = [[one["method"], *(f"{one[key]:.{digits}f}" for key, digits in tables.COSTS.items())] for one in found]
    slow = [one["method"] for one in found if one["seconds"] > LIMIT]
    note = f"Layer {brain.LAYERS[1]}, the voxels predicted as white matter. Other programs ran beside it. "
    note += f"Over two minutes: {', '.join(slow)}." if slow else "None takes two minutes."
    columns = ("method", "seconds", "peak MiB", "MiB before the explanation")
    study.tables.append(Table(f"MeshNet at {side}³ on two threads", columns, rows, note))


def main() -> None:
    """Measure both U-Nets and MeshNet."""
    quick = arguments(__doc__).parse_args().quick
    study = Study("segmentation", quick)
    costs(study)  # first, as a process starts with the peak of the one that starts it
    nets, head = [], segmenters.head(quick)
    for case in (segmenters.volumes(quick), segmenters.slices(quick)):
        dice = ", ".join(f"{label} {value:.2f}" for label, value in zip(LABELS, case.dice, strict=True))
        study.facts[f"Dice of the {case.name}"] = dice
        nets.append((case, measure(case)))
    brought = measure(head)
    study.facts |= {"SNR": SNR, "training": "one seed each"}
    for case, outcome in nets:
        study.tables += [tables.localisation(case, outcome), tables.faithfulness(case, outcome)]
        study.tables += [tables.everything(case, outcome), tables.emptiness(case, outcome), tables.sweep(case)]
    study.tables += [*tables.one_head(head, brought), tables.emptiness(head, brought)]
    study.text += tables.summary(nets, (head, brought))
    for (name, chosen), (case, outcome) in zip(PICTURED, [*nets, (head, brought)], strict=True):
        study.measurements[name] = tables.figures(case, outcome)
        sample = min(chosen, len(case.inputs) - 1)
        methods, regions = segmentation_pictures.draw(case, sample, case.tested[-2:])
        what = f"sample {sample}, class {case.classes[sample]}; outlined: the region"
        about = camfast.provenance(
            case.network, camfast.Region(case.classes[sample], camfast.component(0)), sample=sample, layer=case.layers,
            method=segmentation_pictures.SHOWN, sigma=case.sigma,
        )  # fmt: skip
        study.picture(methods, f"{name}_methods", f"{case.name}: one component by method and depth ({what}).", **about)
        about |= {"target": list(REGIONS), "method": (GRAD, HIRES), "layer": case.tested[-2:]}
        study.picture(
            regions, f"{name}_regions", f"{case.name}: the four regions by the two methods ({what}).", **about
        )
    study.write()


if __name__ == "__main__":
    main()
