"""Batches of distinct patients with balanced classes, one random slice each, drawn by address."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from monai_cl.data.sampling.positions import EndlessSampler, Stream, address_rng
from monai_cl.errors import UserError

logger = logging.getLogger(__name__)


class PatientSampler(EndlessSampler):
    """Endless indices of slices for one process: every ``batch_size`` of them are a batch of as many patients.

    The batches of all processes together are drawn at once, from (seed, iteration) alone: its patients are distinct,
    so no two processes see one patient in an iteration, and each process's part is balanced as well. Where a class has
    fewer patients than its share, the other classes fill the batch. Where there are fewer patients than the batch
    takes, classes stay balanced and patients are repeated, each with another random slice. Both are logged once, as are
    patients without a class, who are left out.

    Give it to a `DataLoader` with the same ``batch_size``. ``start`` is the first iteration; a resumed run sets it.

    Args:
        patients: the patient of every slice.
        targets: the class of every slice's patient; None or a negative number: not known.
        batch_size: patients of this process in an iteration.
        balance: False treats all patients alike, with or without a known class.
        classes: the classes to use; a patient of another class is left out like one without a class. Default: all that
            occur.
        **options: ``seed``, ``rank``, ``world_size`` and ``start``, see `EndlessSampler`.

    Attributes:
        counts: class -> number of patients (key None: all together, without ``balance``).
        left_out: patients without a known class.
        repeats: whether patients are repeated within a batch.

    Raises:
        ValueError: a number out of its range.
        UserError: a patient with two classes, or none with a known one.
    """

    def __init__(
        self,
        patients: Sequence[Hashable],
        targets: Sequence[int | None],
        *,
        batch_size: int = 64,
        balance: bool = True,
        classes: Sequence[int] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(batch_size=batch_size, **options)
        if len(patients) != len(targets):
            raise ValueError(f"patients and targets must be of one length, got {len(patients)} and {len(targets)}")
        groups, self.left_out = _groups(patients, targets, balance=balance, classes=classes)
        self.counts = {target: len(members) for target, members in groups.items()}
        self._groups = list(groups.values())
        total, rows = sum(self.counts.values()), self.batch_size * self.world_size
        self.repeats = total < rows
        if self.rank == 0:
            self._log(total, rows)

    def batch(self, iteration: int) -> list[int]:
        """The slices of all processes in an iteration; process r has the r-th part of ``batch_size``."""
        rng = address_rng(self.seed, Stream.PATIENTS, iteration)
        rows = self.batch_size * self.world_size
        limits = [rows if self.repeats else len(members) for members in self._groups]
        # which classes get one more than the others changes from batch to batch
        quotas = shares(rows, limits, order=rng.permutation(len(limits)).tolist())
        drawn = []
        for members, quota in zip(self._groups, quotas):
            turns = [rng.permutation(len(members)) for _ in range(-(-quota // len(members)))]
            order = np.concatenate(turns) if turns else np.empty(0, np.int64)
            slices: dict[int, list[int]] = {}
            for place, patient in enumerate(order[:quota].tolist()):
                if not slices.get(patient):  # all slices of a repeated patient are used before one is used again
                    slices[patient] = rng.permutation(members[patient]).tolist()
                # spread evenly over the batch, so that every process's part is balanced
                drawn.append(((place + rng.random()) / quota, slices[patient].pop()))
        return [index for _, index in sorted(drawn)]

    def _log(self, total: int, wanted: int) -> None:
        if self.left_out:
            logger.warning("%d patients without a known class are left out of %d", self.left_out, total + self.left_out)
        members = ", ".join(f"class {target}: {count}" for target, count in self.counts.items() if target is not None)
        if self.repeats:
            logger.warning(
                "a batch takes %d patients, there are %d (%s): patients are repeated in a batch, with different slices",
                wanted,
                total,
                members or "classes not used",
            )
        elif min(self.counts.values()) < wanted // len(self.counts):
            logger.warning(
                "a batch takes %d patients of each of %d classes (%s): the other classes fill the place of those that "
                "have fewer",
                wanted // len(self.counts),
                len(self.counts),
                members,
            )


def shares(wanted: int, limits: Sequence[int], *, order: Sequence[int]) -> list[int]:
    """Divide ``wanted`` as evenly as the ``limits`` allow; what cannot be divided goes to the first of ``order``.

    Raises:
        ValueError: the limits together are less than ``wanted``.
    """
    if sum(limits) < wanted:
        raise ValueError(f"expected limits of at least {wanted} together, got {list(limits)}")
    quotas = [0] * len(limits)
    while missing := wanted - sum(quotas):
        free = [i for i in order if quotas[i] < limits[i]]
        each = max(1, missing // len(free))
        for i in free[:missing]:
            quotas[i] = min(limits[i], quotas[i] + each)
    return quotas


def _groups(
    patients: Sequence[Hashable],
    targets: Sequence[int | None],
    *,
    balance: bool,
    classes: Sequence[int] | None,
) -> tuple[dict[int | None, list[np.ndarray]], int]:
    """Class -> patients, each an array of the indices of that patient's slices; and how many patients are left out."""
    slices: dict[Hashable, list[int]] = {}
    target_of: dict[Hashable, int | None] = {}
    for index, (patient, target) in enumerate(zip(patients, targets)):
        slices.setdefault(patient, []).append(index)
        target = None if target is None or target < 0 else int(target)
        if target_of.setdefault(patient, target) != target:
            raise UserError(
                f"patient {patient}",
                expected="one label",
                found=f"{target_of[patient]} and {target}",
                remedy="correct the data list",
            )
    if not slices:
        raise UserError("patient sampler", expected="at least one slice", found="none")
    # arrays: a fifth of the memory of lists, and workers that were forked do not copy them by counting references
    packed = {patient: np.array(slices.pop(patient)) for patient in list(slices)}
    if not balance:
        return {None: list(packed.values())}, 0
    groups: dict[int | None, list[np.ndarray]] = {}
    for patient, members in packed.items():
        target = target_of[patient]
        if target is not None and (classes is None or target in classes):
            groups.setdefault(target, []).append(members)
    used = sum(map(len, groups.values()))
    if not used:
        expected = "a known class" if classes is None else f"one of the classes {list(classes)}"
        raise UserError("patient sampler", expected=f"patients with {expected}", found=f"none among {len(packed)}")
    return dict(sorted(groups.items())), len(packed) - used
