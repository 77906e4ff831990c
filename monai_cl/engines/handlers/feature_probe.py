"""While a pre-training runs: how well its features tell the classes that some of its slices or scans have."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np
import torch
from ignite.engine import Engine, Events
from torch import nn
from torch.utils.data import DataLoader, Subset

from monai_cl.data.slices.pixels import collate_slices
from monai_cl.engines.distributed.collectives import any_process
from monai_cl.engines.handlers.attaching import Turn, take_turn
from monai_cl.engines.handlers.recorder import RunRecorder
from monai_cl.engines.probe.accuracies import half_of_patients, linear_accuracy, neighbour_accuracy
from monai_cl.engines.probe.extraction import extract_features
from monai_cl.engines.workflow_types import state_of
from monai_cl.errors import UserError
from monai_cl.processes import rank

if TYPE_CHECKING:
    from monai_cl.data import CTSlices, HeadBoxes

logger = logging.getLogger(__name__)


class FeatureProbe:
    """Handler: every few epochs the accuracy of nearest neighbours and of a linear classifier on frozen features.

    The samples are spread evenly over those of a known class. Half of the patients of each class are learned from, the
    others are classified, always the same ones, so that points of one curve can be compared; they are of the training
    part and measure progress, not what the network is worth. The curves are ``probe/neighbours`` and ``probe/linear``.
    Training is not changed: nothing random is drawn, and the network gets back its modes. The first process measures.
    With ``patience`` the run ends, as at its last iteration, where the linear classifier has not become better for so
    many measurements; a resumed run counts those of before.

    Args:
        network: not wrapped for several processes; its ``represent``, or the network itself, gives (B, F).
        slices: what it is trained on, or boxes of scans.
        recorder: the run's recorder.
        every: epochs between two measurements; 0: none.
        count: samples, at most.
        batch_size: samples of one forward pass.
        patience: measurements without a better one behind which the run ends; 0: it does not.

    Raises:
        ValueError: an option out of its range.
    """

    def __init__(
        self,
        network: nn.Module,
        slices: CTSlices | HeadBoxes,
        *,
        recorder: RunRecorder,
        every: int,
        count: int = 512,
        batch_size: int = 64,
        patience: int = 0,
    ) -> None:
        check_options(every=every, count=count, patience=patience)
        self.network, self.slices, self.recorder = network, slices, recorder
        self.every, self.count, self.patience = int(every), int(count), int(patience)
        self.batch_size = int(batch_size)
        self._chosen: np.ndarray | None = None

    def attach(self, engine: Engine) -> None:
        """Register on a trainer, before the recorder."""
        take_turn(engine, self, Turn.STEP)
        if self.every and rank() == 0:
            engine.add_event_handler(Events.STARTED, self._choose)
            engine.add_event_handler(Events.ITERATION_COMPLETED, self._measure)
        if self.patience:
            # before the first iteration, not behind the last: a run that has ended and is started again ends at once
            engine.add_event_handler(Events.EPOCH_STARTED, self._end_early)

    def _choose(self, engine: Engine) -> None:
        known = np.array([index for index, target in enumerate(self.slices.targets) if target is not None], dtype=int)
        places = np.linspace(0, len(known) - 1, min(self.count, len(known))).round().astype(int)
        self._chosen = known[np.unique(places)] if len(known) else known
        patients, targets = self.slices.patients, self.slices.targets
        of_class: dict[int, set[str]] = {}
        for index in self._chosen:
            of_class.setdefault(int(targets[index]), set()).add(patients[index])
        if len(of_class) < 2 or min(map(len, of_class.values())) < 2:
            self._chosen = None
            logger.warning(
                "no probe of the features while training: it needs two classes with two patients each, the list has %s",
                {target: len(own) for target, own in sorted(of_class.items())} or "no targets",
            )

    def _measure(self, engine: Engine) -> None:
        # at the iteration, not at the end of the epoch: a checkpoint of this iteration then has the point
        if self._chosen is None or engine.state.iteration % (self.every * state_of(engine).epoch_length):
            return
        features, labels, learning = self._features(state_of(engine).device)
        if len(np.unique(labels[learning])) < 2 or learning.all():
            logger.warning("no probe at iteration %d: one half has no two classes", engine.state.iteration)
            return
        parts = (features[learning], labels[learning], features[~learning], labels[~learning])
        self.recorder.add("probe/neighbours", engine.state.iteration, neighbour_accuracy(*parts))
        self.recorder.add("probe/linear", engine.state.iteration, linear_accuracy(*parts))

    def _features(self, device: torch.device | str | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Features (n, F), classes (n,), and which of them are for learning (n,)."""
        assert self._chosen is not None
        batches = DataLoader(
            Subset(self.slices, self._chosen.tolist()),
            batch_size=self.batch_size,
            collate_fn=collate_slices,
            generator=torch.Generator(),  # a loader draws a number, which must not be the training's
        )
        found = extract_features(self.network, batches, device=device or "cpu")
        return found.features, found.label, half_of_patients(found.patient.tolist(), found.label.tolist())

    def _end_early(self, engine: Engine) -> None:
        points = self.recorder.curves.get("probe/linear", [])  # of the first process alone, also in checkpoints
        best = max(range(len(points)), key=lambda k: points[k][1], default=0)  # the first of equals
        enough = len(points) - 1 - best >= self.patience
        if any_process(enough, state_of(engine).device):
            if enough:
                logger.info(
                    "ended at iteration %d: the linear probe was best at iteration %d (%.3f), %d probes ago",
                    engine.state.iteration, *points[best], len(points) - 1 - best,
                )  # fmt: skip
            engine.terminate()


def check_options(*, every: int, count: int, patience: int) -> None:
    """Refuse options of a probe that are out of their range.

    Args:
        every: epochs between two measurements.
        count: samples.
        patience: measurements without a better one.

    Raises:
        ValueError: one is.
    """
    if every < 0 or count < 4:
        raise ValueError(f"every must be >= 0, count >= 4, got {every} and {count}")
    if patience < 0 or (patience and not every):
        raise UserError(
            "probe_patience",
            expected="0, or probes without a better one behind which the run ends",
            found=f"{patience}, with probe_every={every}",
            remedy="set --probe_every to the epochs between two probes",
        )
