"""Batches of scans, one random slice of each part of a scan (from base to apex, say), drawn by address."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from monai_cl.data.sampling.positions import EndlessSampler, Stream, address_rng
from monai_cl.errors import UserError

logger = logging.getLogger(__name__)


class PartSampler(EndlessSampler):
    """Endless indices of slices for one process: every ``scans · parts`` of them are a batch, scan by scan.

    The scans of all processes together are the next ``scans · world size`` of an order that is shuffled again when it
    has run out; process r has the r-th part of them. Of a scan, a slice of every part is drawn from (seed, iteration,
    scan, part) alone. Where there are fewer scans than a batch takes, all of them take part and are repeated, with
    other slices; in place of a part that a scan does not have, another of its slices is drawn, so that all processes
    have batches of one size. Both are logged once.

    Args:
        scans: the scan of every slice, numbers 0, 1, … without gaps.
        parts: the part of every slice, in [0, number of parts).
        count: number of parts.
        scans_per_batch: scans of this process in an iteration.
        **options: ``seed``, ``rank``, ``world_size`` and ``start``, see `EndlessSampler`.

    Raises:
        ValueError: a number out of its range.
        UserError: a part that no scan has.
    """

    def __init__(
        self, scans: Sequence[int], parts: Sequence[int], *, count: int, scans_per_batch: int, **options: Any
    ) -> None:
        if count < 1 or scans_per_batch < 1:
            raise ValueError(f"parts and scans_per_batch must be >= 1, got {count} and {scans_per_batch}")
        super().__init__(batch_size=scans_per_batch * count, **options)
        scan_of, part_of = np.asarray(scans), np.asarray(parts)
        if scan_of.shape != part_of.shape or not len(scan_of):
            raise ValueError(f"scans and parts must be of one length >= 1, got {scan_of.shape} and {part_of.shape}")
        self.count, self.scans_per_batch = int(count), int(scans_per_batch)
        self.scans = int(scan_of.max()) + 1
        self._slices = [np.flatnonzero(scan_of == scan) for scan in range(self.scans)]
        self._of_part = [[own[part_of[own] == part] for part in range(count)] for own in self._slices]
        absent = [part for part in range(count) if not any(len(of_part[part]) for of_part in self._of_part)]
        if absent:
            raise UserError(
                "slice position",
                expected=f"slices in each of {count} parts of the scans",
                found=f"none in part {absent[0]} of any scan",
                remedy="use fewer parts, or keep more of the slices (fraction)",
            )
        if self.rank == 0:
            self._log()

    def batch(self, iteration: int) -> list[int]:
        """The slices of all processes in an iteration; process r has the r-th part of ``batch_size``."""
        wanted = self.scans_per_batch * self.world_size
        drawn, seen = [], Counter[int]()
        for place in range(iteration * wanted, (iteration + 1) * wanted):
            scan = int(self._order(place // self.scans)[place % self.scans])
            again = (seen[scan],) if seen[scan] else ()
            seen[scan] += 1
            for part, own in enumerate(self._of_part[scan]):
                chosen = own if len(own) else self._slices[scan]
                u = address_rng(self.seed, Stream.PARTS, iteration, scan, part, *again).random()
                drawn.append(int(chosen[int(u * len(chosen))]))
        return drawn

    def _order(self, turn: int) -> np.ndarray:
        if getattr(self, "_turn", None) != turn:
            self._turn, self._permutation = turn, address_rng(self.seed, Stream.PARTS, turn).permutation(self.scans)
        return self._permutation

    def _log(self) -> None:
        wanted = self.scans_per_batch * self.world_size
        if self.scans < wanted:
            logger.warning("a batch takes %d scans, there are %d: they are repeated in a batch", wanted, self.scans)
        short = sum(any(not len(own) for own in of_part) for of_part in self._of_part)
        if short:
            logger.warning(
                "%d of %d scans lack one of the %d parts: another of their slices is drawn in its place",
                short,
                self.scans,
                self.count,
            )
