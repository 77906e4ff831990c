"""While a pre-training on patches runs: how well the encoder's features of a voxel tell which organ it belongs to."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np
import torch
from einops import rearrange
from ignite.engine import Engine

from monai_cl.addressing import Stream, address_generator, address_rng
from monai_cl.engines.handlers.feature_probe import FeatureProbe
from monai_cl.engines.handlers.recorder import RunRecorder
from monai_cl.engines.probe.accuracies import half_of_patients
from monai_cl.networks.modes import evaluation_mode

if TYPE_CHECKING:
    from monai_cl.data import MixCLPatches
    from monai_cl.networks import MixCLNet

logger = logging.getLogger(__name__)
_PER_CLASS = 16  # voxels of a class in a patch


class VoxelProbe(FeatureProbe):
    """As `FeatureProbe`, of voxels: one patch of each scan, the same number of voxels of each organ and the background.

    The scans are of one data set, the one with most of them annotated; the organs of half of its patients are learned
    from, those of the others named. The patches are as the training reads them, always the same ones, without changes
    of intensity; the features those of the encoder's level whose voxels the label term compares, before the projector.

    Args:
        network: not wrapped for several processes.
        patches: what it is trained on.
        recorder: the run's recorder.
        every: epochs between two measurements; 0: none.
        count: scans, at most.
        patience: measurements without a better one behind which the run ends; 0: it does not.

    Raises:
        ValueError: an option out of its range.
    """

    network: MixCLNet

    def __init__(
        self,
        network: MixCLNet,
        patches: MixCLPatches,
        *,
        recorder: RunRecorder,
        every: int,
        count: int = 16,
        patience: int = 0,
    ) -> None:
        super().__init__(network, patches, recorder=recorder, every=every, count=count, patience=patience)
        self.patches, self.level = patches, patches.levels_stride.bit_length() - 1
        self._keys: list[str] = []

    def _choose(self, engine: Engine) -> None:
        entries = [[self.patches.store.entry(key) for key in keys] for keys in self.patches.keys]
        annotated = max(([entry for entry in own if entry.classes] for own in entries), key=len)
        places = np.linspace(0, len(annotated) - 1, min(self.count, len(annotated))).round().astype(int)
        chosen = [annotated[place] for place in np.unique(places)] if annotated else []
        self._keys, patients = [entry.key for entry in chosen], {entry.patient for entry in chosen}
        self._chosen = np.arange(len(chosen)) if len(patients) >= 2 else None
        if self._chosen is None:
            logger.warning("no probe of the voxels while training: it needs labels of two patients of one data set")

    @torch.inference_mode()
    def _features(self, device: torch.device | str | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        features, labels, patients = [], [], []
        with evaluation_mode(self.network):
            for number, key in enumerate(self._keys):
                rng = address_rng(self.patches.seed, Stream.PROBE, number)
                drawing = address_generator(self.patches.seed, Stream.PROBE, number)
                image, voxels, organs = self.patches.annotated(key, rng, drawing, per_class=_PER_CLASS)
                maps = self.network.backbone.encode(self.network.within, image[None].to(device), [self.level])[0]
                features.append(
                    rearrange(maps[0], "c h w d -> (h w d) c")[voxels.to(maps.device)].float().cpu().numpy()
                )
                labels.append(organs.numpy())
                patients += [self.patches.store.entry(key).patient] * len(organs)
        found, organs = np.concatenate(features), np.concatenate(labels)
        learning = half_of_patients(patients, np.zeros(len(patients), dtype=int).tolist())
        known = np.isin(organs, np.unique(organs[learning]))
        return found[known], organs[known], learning[known]
