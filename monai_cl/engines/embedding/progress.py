"""What a run over scans says: a bar while it runs, counts at the end, and the scans that cannot be used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from torch.utils.data import DataLoader, Subset

from monai_cl.engines.embedding.inputs import ScanInputs, ScanLoader
from monai_cl.errors import UserError

_MOST_SHOWN = 20


def loaded_scans(
    loader: ScanLoader, numbers: Sequence[int], *, workers: int, progress: bool
) -> Iterator[tuple[int, ScanInputs | UserError]]:
    """Scans with their numbers, or why they cannot be used; the bar's rate counts the others.

    Args:
        loader: of the scans.
        numbers: of those that are not done yet.
        workers: processes that load; 0: this one does.
        progress: show a bar.
    """
    from tqdm import tqdm

    batches = DataLoader(Subset(loader, list(numbers)), batch_size=None, num_workers=workers)
    with tqdm(total=len(numbers), desc="Embedding", unit="scan", disable=not (progress and numbers)) as bar:
        for number, loaded in zip(numbers, batches):
            yield number, loaded
            if isinstance(loaded, UserError):
                bar.total -= 1
                bar.refresh()
            else:
                bar.update()


def describe_counts(embedded: int, seconds: float, *, there: int, faults: int, skip: bool) -> str:
    """What became of the scans, in a line; the rate is that of those that were embedded.

    Args:
        embedded: scans.
        seconds: that they and the faults took.
        there: scans that were there already.
        faults: scans that cannot be used.
        skip: whether these are left out.
    """
    done = f"embedded {embedded} scan{'' if embedded == 1 else 's'}"
    rate = f" in {seconds:.1f} s: {embedded / max(seconds, 1e-9):.2f} scans/s" if embedded else ""
    rest = [f"{there} {'was' if there == 1 else 'were'} there already"] if there else []
    rest += [f"{faults} {'left out' if skip else 'cannot be embedded'}"] if faults else []
    return "; ".join([done + rate, *rest])


def raise_unless(skip: bool, faults: Mapping[str, str], count: int, *, kept: bool) -> None:
    """Raise the `UserError` that names scans that cannot be used, unless they are left out and others remain.

    Args:
        skip: leave them out.
        faults: id -> why it cannot be used.
        count: of all scans.
        kept: whether the others are kept for the next run.
    """
    if not faults or (skip and len(faults) < count):
        return
    lines = [f"{name}: {fault}" for name, fault in list(faults.items())[:_MOST_SHOWN]]
    more = [f"... and {len(faults) - _MOST_SHOWN} more"] if len(faults) > _MOST_SHOWN else []
    after = "; what is done is kept for the next run" if kept else ""
    head = f"{len(faults)} of {count} scans cannot be embedded: correct them, or pass --skip to leave them out{after}"
    raise UserError("\n  ".join([head, *lines, *more]))
