"""What the recorded quantities are called for people, and their units."""

from __future__ import annotations

import re

# name in results.json -> title; a name with a part behind a slash has it appended
_TITLES = {
    "loss": "Loss",
    "mean_dice": "Mean Dice of the validation",
    "dice": "Dice",
    "auc": "AUC of the validation",
    "gradient_norm": "Gradient norm",
    "learning_rate": "Learning rate",
    "skipped_steps": "Skipped steps",
    "encoder_gradient": "Encoder gradient",
    "gradient_cosine": "Cosine between gradients of",
    "effective_rank": "Effective rank of the features",
    "mean_cosine": "Mean cosine between samples",
    "identity": "Identity loss",
    "identity_diagonal": "Identity: mean of the diagonal",
    "identity_offdiagonal": "Identity: size off the diagonal",
    "label": "Label loss",
    "label_positive_share": "Share of positive pairs",
    "bank": "Memory bank loss",
    "bank_fill": "Bank: filled share",
    "bank_positive_share": "Bank: patches with a positive",
    "common_voxels": "Voxels that both views show",
    "reconstruction": "Reconstruction loss",
    "supervised": "Supervised loss",
    "consistency": "Consistency loss",
    "meta_label": "Meta-label loss",
}
_UNITS = {
    "mean_dice": "Dice, 0 to 1",
    "dice": "Dice, 0 to 1",
    "auc": "AUC, 0 to 1",
    "effective_rank": "dimensions",
    "mean_cosine": "cosine, −1 to 1",
    "gradient_cosine": "cosine, −1 to 1",
    "label_positive_share": "fraction",
    "bank_fill": "fraction",
    "bank_positive_share": "fraction",
    "common_voxels": "fraction",
    "skipped_steps": "steps",
    "learning_rate": "step size",
    "gradient_norm": "L2 norm",
    "encoder_gradient": "L2 norm",
}


def quantity_title(name: str) -> str:
    """``"identity_diagonal/1"`` -> ``"Identity: mean of the diagonal, 1"``; an unknown name as words."""
    base, _, part = name.partition("/")
    title = _TITLES.get(base) or base.replace("_", " ")
    title = title if base in _TITLES else title[:1].upper() + title[1:]
    part = re.sub(r"^level(?=\d+$)", "level ", part.replace("_", " "))
    return f"{title}, {f'level {part}' if part.isdigit() else part}" if part else title


def quantity_unit(name: str) -> str:
    """Unit of a quantity, empty where it has none or is unknown: losses are weighted sums."""
    return _UNITS.get(name.partition("/")[0], "")
