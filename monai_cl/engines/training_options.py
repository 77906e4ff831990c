"""Options of every training: their limits, asked before any scan is prepared and by the handlers that use them."""

from __future__ import annotations

import math

from monai_cl.errors import UserError


def check_training_options(
    *,
    non_finite: str = "stop",
    gradient_clip: float | None = None,
    keep_checkpoints: int = 2,
    weight_average: float = 0.0,
    learning_rate: float | None = None,
) -> None:
    """Refuse a value that no training can use.

    Args:
        non_finite: what is done with a loss or gradient that is nan or infinite, ``stop`` or ``skip``.
        gradient_clip: largest norm of all gradients together, above 0; None: as they are.
        keep_checkpoints: newest checkpoints that stay, at least 1.
        weight_average: momentum of a moving average of the weights, in [0, 1); 0: none.
        learning_rate: the largest of the schedule, from 0, with which nothing is learned; None: not asked.

    Raises:
        UserError: names the option, what it takes and what it got.
    """
    if non_finite not in ("stop", "skip"):
        remedy = "stop ends the run there, skip leaves out that step"
        raise UserError("non_finite", expected="stop or skip", found=repr(non_finite), remedy=remedy)
    if gradient_clip is not None and not (_is_number(gradient_clip) and 0 < gradient_clip < math.inf):
        raise UserError("gradient_clip", expected="a number above 0, or null", found=repr(gradient_clip))
    if isinstance(keep_checkpoints, bool) or not isinstance(keep_checkpoints, int) or keep_checkpoints < 1:
        remedy = "with 1 the newest alone stays; model.pt stays in any case"
        found = repr(keep_checkpoints)
        raise UserError("keep_checkpoints", expected="a whole number from 1", found=found, remedy=remedy)
    if not (_is_number(weight_average) and 0 <= weight_average < 1):
        raise UserError(
            "weight_average",
            expected="a number from 0, no average, to below 1, such as 0.999",
            found=repr(weight_average),
            remedy="an average over about n steps has 1 - 1/n",
        )
    if learning_rate is not None and not (_is_number(learning_rate) and 0 <= learning_rate < math.inf):
        # YAML reads 1e-3 as text
        hint = "in YAML 1e-3 is text: write 0.001 or 1.0e-3" if isinstance(learning_rate, str) else None
        found = repr(learning_rate)
        raise UserError("learning_rate", expected="a number from 0", found=found, remedy=hint)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
