"""What the prototypes of a trained clustering tell apart: mutual information of codes with modality and class."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from monai_cl.data import CTSlices
from monai_cl.engines.probe.accuracies import normalised_mutual_information
from monai_cl.networks import ClusteringNet
from monai_cl.networks.modes import evaluation_mode


@torch.no_grad()
def code_information(network: nn.Module, features: np.ndarray, slices: CTSlices) -> dict[str, float]:
    """Normalised mutual information of each slice's nearest prototype, of all, with what is known of the slice.

    Args:
        network: a `ClusteringNet`; another one has no codes.
        features: its representations of ``slices``, (n, F).
        slices: in the same order.

    Returns:
        ``code_modality_nmi`` where there are several modalities: near 1 where prototypes are spent on telling them
        apart. ``code_target_nmi`` where several classes of a modality are known: within each modality, as codes of
        several tell nothing in common; the mean over its slices of a known class. Each in [0, 1].
    """
    if not isinstance(network, ClusteringNet):
        return {}
    place = nn.functional.normalize(network.prototypes.weight, dim=1)
    with evaluation_mode(network):
        embeddings = network.head(torch.from_numpy(features).to(place))
    codes = (nn.functional.normalize(embeddings, dim=1) @ place.T).argmax(dim=1).cpu().numpy()
    names = [volume.modality for volume in slices.volumes for _ in volume.slices]
    modality = np.array(names)
    targets = np.array(slices.targets, dtype=object)
    found = {}
    if (told := normalised_mutual_information(codes, names)) is not None:
        found["code_modality_nmi"] = told
    within, counts = [], []
    for own in (modality == name for name in np.unique(modality)):
        if (told := normalised_mutual_information(codes[own], targets[own].tolist())) is not None:
            within.append(told)
            counts.append(sum(target is not None and target != -1 for target in targets[own]))
    if within:
        found["code_target_nmi"] = float(np.average(within, weights=counts))
    return found
