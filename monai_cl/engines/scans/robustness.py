"""How far an evaluated classifier's probabilities move when scans are darker, turned or of another size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from monai_cl.data import HeadBoxes
from monai_cl.engines.distributed.wrapping import unwrap_ddp
from monai_cl.engines.scans.variants import variant_predictions
from monai_cl.errors import UserError
from monai_cl.networks import ScanClassifier
from monai_cl.transforms.volume.variants import FAMILIES


def check_robustness(cases: int, variants: int) -> None:
    """Refuse numbers that no evaluation can use, before any scan is read.

    Args:
        cases: scans that are varied, at least 2, or 0 for none.
        variants: of each, at least 1.

    Raises:
        UserError: names the option.
    """
    for name, value, least in (("cases", cases, 2), ("variants", variants, 1)):
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not whole or (value < least and not (name == "cases" and value == 0)):
            expected = f"a whole number from {least}" + (", or 0 for none" if name == "cases" else "")
            raise UserError(f"robustness_{name}", expected=expected, found=repr(value))


class ScanRobustness:
    """Scores and a figure of `variant_predictions`, for the record of an evaluation.

    Args:
        network: the classifier.
        boxes: the scans that are evaluated.
        score: `monai_cl.report.robustness_scores`; handed in, as ``draw``, so that engines do not depend on the report.
        draw: `monai_cl.report.deviation_figure`.
        cases: scans that are varied, half of each class; 0: nothing is measured.
        variants: of each scan and family.
        seed: of the choice of scans and of the variants.
        device: where the network runs.

    Raises:
        UserError: see `check_robustness`; scans of one class alone.
    """

    def __init__(
        self,
        *,
        network: ScanClassifier,
        boxes: HeadBoxes,
        score: Callable[..., dict[str, float | int]],
        draw: Callable[..., bytes],
        cases: int = 0,
        variants: int = 50,
        seed: int = 0,
        device: torch.device | str = "cpu",
    ) -> None:
        check_robustness(cases, variants)
        classes = {volume.target for volume in boxes.volumes}
        if cases and not classes >= {0, 1}:
            found = f"classes {', '.join(map(str, sorted(classes, key=str)))} alone"
            remedy = "leave --robustness_cases out, or evaluate another --split"
            raise UserError("robustness_cases", expected="scans of class 0 and 1", found=found, remedy=remedy)
        self.network, self.boxes, self.score, self.draw = network, boxes, score, draw
        self.cases, self.variants, self.seed, self.device = cases, variants, seed, device

    def measure(self) -> tuple[dict[str, Any], bytes] | None:
        """Family -> scores, and the figure as PNG; None where nothing is to be measured."""
        if not self.cases:
            return None
        network = unwrap_ddp(self.network)
        found = variant_predictions(
            network,
            self.boxes,
            cases=self.cases,
            variants=self.variants,
            seed=self.seed,
            device=self.device,
            progress=True,
        )
        scores = {
            family: self.score(found["labels"], found["probability"], found["varied"][family]) for family in FAMILIES
        }
        return scores, self.draw(found["probability"], found["varied"])
