"""Whether a trained model takes the place of the app's: both are measured on the same cases, the better one stays."""

from __future__ import annotations

import logging
import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

from monai_cl.engines import load_network
from monai_cl.files import new_file, write_json

logger = logging.getLogger(__name__)
PREVIOUS, COMPARISON = "previous_model.pt", "comparison.json"


def mean_dice_of(model: Path, *, config: str | Path, overrides: Mapping[str, Any]) -> float | None:
    """Mean Dice of a model on the validation cases of a training; None where it is not defined.

    Args:
        model: weights.
        config: ``train.yaml`` of the bundle.
        overrides: as of the training.
    """
    parser = ConfigParser()
    parser.read_config(str(config))
    parser.update({**overrides, "validate#pictures#count": 0})
    load_network(parser.get_parsed_content("network"), model)
    evaluator = parser.get_parsed_content("validate#evaluator")
    evaluator.run()
    dice = float(evaluator.state.metrics["val_mean_dice"])
    return dice if math.isfinite(dice) else None


def replace_if_as_good(
    trained: Path,
    place: Path,
    *,
    mean_dice: float | None,
    mean_dice_before: float | None,
    cases: Sequence[str],
) -> dict[str, Any]:
    """Put a trained model in the place of the app's if its Dice is not lower, and keep the one that was there.

    Args:
        trained: the trained model; ``previous_model.pt`` and ``comparison.json`` are written beside it.
        place: the app's model; where there is none, the trained one is put there in any case.
        mean_dice: of the trained model.
        mean_dice_before: of the app's model, on the same cases.
        cases: their ids.

    Returns:
        ``replaced``, ``mean_dice``, ``mean_dice_before``, ``cases`` and ``message``, which says it in words.
    """
    there = place.is_file()
    comparable = mean_dice is not None and mean_dice_before is not None
    replaced = not there or (comparable and mean_dice >= mean_dice_before)
    if replaced:
        if there:
            shutil.copyfile(place, trained.with_name(PREVIOUS))
        with new_file(place) as temporary:  # an inference meanwhile reads the old file or the new one
            shutil.copyfile(trained, temporary)
    outcome = "it takes the place of the app's" if replaced else "the app's model stays"
    kept = PREVIOUS if replaced and there else trained.name
    message = (
        f"mean Dice of the trained model {_written(mean_dice)}, of the app's before {_written(mean_dice_before)}, on "
        f"the same {len(cases)} cases ({', '.join(cases)}): {outcome}; the other is {trained.with_name(kept)}"
    )
    logger.info("%s", message)
    comparison = {
        "replaced": replaced,
        "mean_dice": mean_dice,
        "mean_dice_before": mean_dice_before,
        "cases": list(cases),
        "message": message,
    }
    write_json(trained.with_name(COMPARISON), comparison)
    return comparison


def _written(dice: float | None) -> str:
    return "undefined" if dice is None else f"{dice:.4f}"
