"""What is likely wrong with a run's first batches, in words."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from monai_cl.data.records.previewed import Preview, PreviewedSample

# of the voxels of a sample; of the box that was read
_CLIPPED, _OUTSIDE = 0.95, 0.75
# so many samples without an organ, of one class or with equal views are no chance
_MANY = 4
CLASSES = ("label", "target")
"""Names under which a sample has the class of its patient."""


def preview_faults(preview: Preview, name_case: Callable[[str], str] = str) -> list[str]:
    """Sentences on what is likely wrong; none where nothing is.

    Args:
        preview: the batches.
        name_case: how the id of a scan is shown.
    """
    found: list[str] = []
    for number, sample in enumerate(preview.samples, start=1):
        scans = ", ".join(dict.fromkeys(name_case(scan.id) for scan in sample.scans))
        found += [f"Sample {number} ({scans}): {text}" for text in _of_sample(sample)]
    return [*found, *_of_all(preview)]


def _of_sample(sample: PreviewedSample) -> Iterator[str]:
    for scan in sample.scans:
        below, above = scan.clipped
        low, high = (f"{end:g}" for end in scan.window)
        if below + above > _CLIPPED:
            yield (
                f"{below + above:.0%} of its voxels are clipped, {below:.0%} below {low} and {above:.0%} above {high} "
                f"{scan.unit}: is the window right for it, and is the scan in the unit that its list says?"
            )
        if 1 - scan.inside > _OUTSIDE:
            yield (
                f"{1 - scan.inside:.0%} of it lies outside the scan and is air: is the patch larger than the scan, or "
                "the spacing too fine?"
            )
    for view in sample.views:
        if not np.isfinite(view.image).all():
            yield f"{view.name} holds values that are not finite."
        elif view.image.size and np.ptp(view.image) == 0:
            yield f"{view.name} is {view.image.flat[0]:.3g} in every voxel: it shows nothing."


def _of_all(preview: Preview) -> Iterator[str]:
    shown = [sample for sample in preview.samples if sample.views]
    shares = [share for sample in preview.samples for share in sample.foreground]
    if len(shares) >= _MANY and not any(shares):
        yield (
            f"None of {len(shares)} label maps shows an organ: all voxels are background. Are the labels those of "
            "these scans, and does the list name their values?"
        )
    # a scan of head CT has its class under both names
    named = [[sample.fields[key] for key in CLASSES if key in sample.fields] for sample in preview.samples]
    classes = [values[0] for values in named if values]
    known = [int(value) for value in classes if isinstance(value, int | float) and value >= 0]
    if set(CLASSES) & set(preview.targets) and len(classes) >= _MANY:
        if not known:
            yield f"No class is known of any of {len(classes)} samples, and the loss takes classes."
        elif len(known) >= _MANY and len(set(known)) == 1:
            name = preview.classes.get(str(known[0]), str(known[0]))
            yield f"All {len(known)} samples of known class are of class {name}: the loss has nothing to tell apart."
    pairs = [[view.image for view in sample.views if view.as_prepared] for sample in shown]
    alike = [len(views) > 1 and all(np.array_equal(views[0], other) for other in views[1:]) for views in pairs]
    if len(alike) >= _MANY and all(alike):
        yield "The views of every sample are equal: are the probabilities of the augmentation 0?"
