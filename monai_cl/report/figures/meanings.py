"""What the recorded quantities mean and what to look for in their curves, in a sentence or two each."""

from __future__ import annotations

from collections.abc import Iterable

from monai_cl.report.figures.quantities import quantity_title

# name in results.json, without what stands behind a slash
_MEANINGS = {
    "loss": "What is minimised, a mean since the last point. Losses of different methods cannot be compared.",
    "mean_dice": "Mean over organs and validation cases, in their own image space. The best decides model.pt.",
    "dice": "The same of one organ, over the cases that have it.",
    "auc": "Area under the ROC curve of the validation patients: 0.5 is chance.",
    "gradient_norm": "Length of all gradients together, before clipping. Peaks precede a loss that diverges.",
    "learning_rate": "Of the last group of parameters, as the schedule has it.",
    "factor": "What the weight of this term is multiplied by, as loss_schedule has it.",
    "balance": "What the weight of this term is multiplied by, so that its gradient at the encoder has its share.",
    "skipped_steps": "Steps that were left out because loss or gradient were not finite.",
    "encoder_gradient": "Length of one term's gradient at the encoder, times its weight: what drives it.",
    "gradient_cosine": "Below 0 two meta-labels pull the encoder in opposite directions.",
    "effective_rank": (
        "In how many directions the features of a batch vary (Roy and Vetterli, 2007). Near 1 they have collapsed."
    ),
    "mean_cosine": "Of the features of different samples of a batch. Near 1 they are all alike: a collapse.",
    "identity": "How far the correlation of the two views' channels is from the identity matrix.",
    "identity_diagonal": "Of that matrix: near 1 the two views agree in each channel.",
    "identity_offdiagonal": "Of that matrix: near 0 channels say different things.",
    "label": "Contrast of voxels: small where voxels of one label are close to each other and far from the others.",
    "label_positive_share": "Of the pairs of patches, those that have an organ in common; others teach nothing.",
    "bank": "Contrast of organs by name: small where those of other data sets are close and other organs are far.",
    "bank_fill": "How full the bank of earlier features of organs is, 0 to 1.",
    "bank_positive_share": "Of the patches, those with an organ that the bank has from another data set.",
    "common_voxels": "Share of a patch's voxels that its moved view shows too, and the identity term compares.",
    "reconstruction": "Error of the picture that is rebuilt from a changed one.",
    "supervised": "Dice and cross-entropy of the organs that each data set annotates.",
    "consistency": "How much predictions differ between views of slices without labels.",
    "meta_label": "Contrast of one meta-label: small where slices of the same value are close.",
    "mean_weight": "Of the pairs of one meta-label: what self-pacing lets through, from 0, none, to 1, all.",
    "gamma": "The pace: pairs with a loss above it count nothing (hard) or less (linear).",
    "minimum": "Least value that the term can have at this pace.",
    "mean_pair_loss": "Of the pairs of one meta-label, before they are weighted.",
    "floor": "log of the number of positives: no pair of a perfect cluster has a lower loss.",
    "positives": "For each slice of a batch, the others of the same value.",
    "dead_pairs": "Share of the positive pairs of a meta-label that count nothing at this pace.",
    "code_perplexity": "Over how many prototypes a code is spread. Near 1 codes are hard, near all they say nothing.",
    "prototypes_in_use": "Prototypes that are the first of some sample. One alone is a collapse.",
    "prototype_mass_min": "Share of the rarest prototype in the codes; 1 is an even share.",
    "prototype_mass_max": "Share of the most frequent prototype in the codes; 1 is an even share.",
    "queue_fill": "How full the queue of earlier embeddings is, 0 to 1.",
    "labelled": "Share of the batch's samples that have this label.",
    "probe": (
        "Accuracy on half of the training patients whose class is known (of MixCL: on voxels, of their organ), by "
        "features of the other half. It shows progress and is no result."
    ),
}


def quantity_meaning(name: str) -> str:
    """What a curve shows; empty where nothing is known of it.

    Args:
        name: in ``results.json``, such as ``effective_rank/level1`` or ``labelled_target``.
    """
    base = name.partition("/")[0]
    for known in (base, base.partition("_")[0]):  # the heads' own: loss_target, labelled_target
        if known in _MEANINGS:
            return _MEANINGS[known]
    return ""


def meanings(names: Iterable[str]) -> dict[str, str]:
    """Title of the first quantity of each kind -> what it means, of the kinds that are known.

    Args:
        names: as they stand in ``results.json``.
    """
    found: dict[str, str] = {}
    for name in names:
        meaning = quantity_meaning(name)
        if meaning and meaning not in found.values():
            found[quantity_title(name.partition("/")[0])] = meaning
    return found
