"""Which case a global sample position trains on: shuffled again every epoch, by address."""

from __future__ import annotations

from collections.abc import Sequence

from monai_cl.data.sampling.positions import address_seed, permutation


class CaseOrder:
    """Position → (data set, case).

    Args:
        sizes: number of cases of each data set; a data set may be empty.
        seed: the run's seed.
        balance: ``"cases"``: every case once per epoch of n = sum of sizes positions. ``"datasets"``: every data set
            that is not empty once in each round of as many positions, and every case of it once in as many rounds as it
            has cases: small data sets come up as often as large ones.

    Raises:
        ValueError: if there is no case, the seed is negative, or ``balance`` is something else.
    """

    def __init__(self, sizes: Sequence[int], *, seed: int, balance: str = "cases") -> None:
        if balance not in ("cases", "datasets"):
            raise ValueError(f'balance must be "cases" or "datasets", got {balance!r}')
        if sum(sizes) < 1:
            raise ValueError(f"expected at least one case, got data sets of {list(sizes)} cases")
        address_seed(seed)  # refuses a bad seed here, not in a worker
        self.sizes, self.seed, self.balance = tuple(int(s) for s in sizes), int(seed), balance
        self._cases = [(dataset, case) for dataset, size in enumerate(self.sizes) for case in range(size)]
        self._datasets = [dataset for dataset, size in enumerate(self.sizes) if size]

    def __len__(self) -> int:
        return len(self._cases)

    def __call__(self, position: int) -> tuple[int, int]:
        """Index of the data set and of the case in it."""
        if self.balance == "cases":
            epoch, place = divmod(position, len(self._cases))
            return self._cases[permutation(self.seed, epoch, len(self._cases))[place]]
        turn, place = divmod(position, len(self._datasets))
        dataset = self._datasets[permutation(self.seed, turn, len(self._datasets))[place]]
        epoch, place = divmod(turn, self.sizes[dataset])
        return dataset, int(permutation(self.seed, epoch, self.sizes[dataset], dataset)[place])
