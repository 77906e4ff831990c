"""Batches in which the modalities take turns: the sample at position p is of modality p mod M, drawn by address."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from monai_cl.data.sampling.positions import EndlessSampler, Stream, address_rng, permutation
from monai_cl.errors import UserError


class ModalitySampler(EndlessSampler):
    """Endless indices of slices for one process: every ``batch_size`` of them are a batch of equal parts per modality.

    Of each modality, the scans (or single images) are walked in an order without repeats that is drawn anew, from
    (seed, round), when it is used up: a small modality is repeated. Of a scan, one slice is drawn from (seed, modality,
    number of the draw). All processes together take the next draws, so that what is drawn depends neither on the number
    of workers nor on where a run was interrupted.

    Args:
        scans: the scan of every slice, numbers 0, 1, ….
        modalities: the modality of every slice, in [0, number of modalities).
        names: of the modalities, in the order of their numbers.
        batch_size: samples of this process in an iteration, a multiple of the number of modalities.
        **options: ``seed``, ``rank``, ``world_size`` and ``start``, see `EndlessSampler`.

    Attributes:
        counts: modality -> number of its scans.

    Raises:
        UserError: a modality without scans, or a batch that cannot be divided evenly.
    """

    def __init__(
        self, scans: Sequence[int], modalities: Sequence[int], *, names: Sequence[str], batch_size: int, **options: Any
    ) -> None:
        super().__init__(batch_size=batch_size, **options)
        scan_of, modality_of = np.asarray(scans), np.asarray(modalities)
        if scan_of.shape != modality_of.shape:
            raise ValueError(f"scans and modalities must be of one shape, got {scan_of.shape} and {modality_of.shape}")
        self.names = tuple(names)
        check_batch(self.batch_size, self.names)
        self._slices = [_by_scan(np.flatnonzero(modality_of == number), scan_of) for number in range(len(self.names))]
        self.counts = {name: len(own) for name, own in zip(self.names, self._slices)}
        if empty := [name for name, count in self.counts.items() if not count]:
            raise UserError(
                f"modality {empty[0]}",
                expected="at least one scan or image",
                found="none",
                remedy="add its items to the data list, or leave it out of the modalities",
            )

    def batch(self, iteration: int) -> list[int]:
        """The slices of all processes in an iteration; process r has the r-th part of ``batch_size``."""
        each = self.batch_size * self.world_size // len(self.names)
        return [
            self._drawn(modality, iteration * each + number)
            for number in range(each)
            for modality in range(len(self.names))
        ]

    def _drawn(self, modality: int, number: int) -> int:
        """The slice of a modality's draw ``number``, counted from the beginning of the run."""
        scans = self._slices[modality]
        turn, place = divmod(number, len(scans))
        slices = scans[int(permutation(self.seed, turn, len(scans), modality, Stream.MODALITIES)[place])]
        if len(slices) == 1:
            return int(slices[0])
        return int(address_rng(self.seed, Stream.MODALITIES, modality, number).choice(slices))


def _by_scan(slices: np.ndarray, scans: np.ndarray) -> list[np.ndarray]:
    """The given slices of each scan, scans in the order of their numbers."""
    if not len(slices):
        return []
    slices = slices[np.argsort(scans[slices], kind="stable")]
    return np.split(slices, np.flatnonzero(np.diff(scans[slices])) + 1)


def check_batch(batch_size: int, names: Sequence[str]) -> None:
    """Refuse a batch that cannot be divided evenly among the modalities.

    Args:
        batch_size: samples of one process in an iteration.
        names: of the modalities.

    Raises:
        UserError: names the next multiples.
    """
    count = len(names)
    if count and batch_size % count == 0:
        return
    below, above = batch_size // max(count, 1) * count, (batch_size // max(count, 1) + 1) * count
    raise UserError(
        f"batch_size {batch_size}",
        expected=f"a multiple of {count}, the number of modalities ({', '.join(names)})",
        found=batch_size,
        remedy=f"use {' or '.join(str(size) for size in (below, above) if size)}",
    )
