"""The synthetic data sets: which organs each one annotates, under which local ids, and how its scans are stored."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from monai_cl.data.phantom.abdomen.structure import LESIONS, ORGANS


@dataclass(frozen=True)
class Kind:
    """One data set.

    Attributes:
        number: its address; cases are drawn from (seed, number, index), so the numbers never change.
        folder: sub-folder it is written to.
        labels: local id -> name, without the background.
        local_ids: anatomy id (``ORGANS``, ``LESIONS``) -> local id; everything else becomes background.
        tumours: organ with lesions, or None.
        orientations: axis codes of its files.
    """

    number: int
    folder: str
    labels: dict[int, str]
    local_ids: dict[int, int]
    tumours: str | None = None
    orientations: tuple[str, ...] = ("LPS", "LAS", "RAS")

    def localise(self, labels: np.ndarray) -> np.ndarray:
        """Anatomy ids -> this data set's ids (uint8)."""
        table = np.zeros(max(*ORGANS, *LESIONS) + 1, dtype=np.uint8)
        for anatomy_id, local_id in self.local_ids.items():
            table[anatomy_id] = local_id
        return table[labels]


# The spleen is annotated in none of the pre-training sets: a study needs an organ that pre-training never saw labelled.
KINDS: dict[str, Kind] = {
    "liver": Kind(0, "synthetic_liver", {1: "liver", 2: "liver tumour"}, {4: 1, 8: 2}, "liver", ("LAS", "RAS", "LPS")),
    # left and right kidneys share an id and slices come first, as in KiTS
    "kidney": Kind(
        1, "synthetic_kidney", {1: "kidney", 2: "kidney tumour"}, {2: 1, 3: 1, 9: 2}, "kidney", ("IPL", "SPL")
    ),
    "pancreas": Kind(2, "synthetic_pancreas", {1: "pancreas"}, {7: 1}),
    "abdomen": Kind(3, "synthetic_abdomen", {1: "stomach", 2: "aorta"}, {5: 1, 6: 2}),
    "target": Kind(4, "synthetic_target", dict(ORGANS), {k: k for k in ORGANS}),
    "spleen": Kind(5, "synthetic_spleen", {1: "spleen"}, {1: 1}),
}
PRETRAINING = ("liver", "kidney", "pancreas", "abdomen")
