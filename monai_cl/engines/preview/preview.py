"""The record of a run's first batches: their images, where they come from, how long they take."""

from __future__ import annotations

import contextlib
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from monai_cl.data import DataList, read_volume
from monai_cl.data.datalist.items import reading_options
from monai_cl.data.records.previewed import Preview, PreviewedSample, SourceScan
from monai_cl.data.store.integrity import item_of
from monai_cl.data.store.observed import Read
from monai_cl.engines.preview.batches import Batch, config_of, first_batches, read_config
from monai_cl.engines.preview.views import foreground, is_labelled, sample_views
from monai_cl.errors import UserError
from monai_cl.transforms.scan_scale import SCALE, scale_range

# of a sample, beside its images: what is shown elsewhere, or says nothing to a reader
_NOT_FIELDS = ("id", "id1", "id2", "patient", "index", "volume", "number")


def preview_run(config: str, overrides: Mapping[str, Any] | None = None, *, samples: int = 4) -> Preview:
    """What the network of a run will see: the batches of its first iterations, by value; no run is started.

    Args:
        config: see `config_of`.
        overrides: id -> value, as on the run's command line.
        samples: how many are shown with their images: the first ones, but as many of each kind where a batch mixes
            labelled and unlabelled ones, or modalities.

    Raises:
        UserError: as the run; ``samples`` below 1.
    """
    if samples < 1:
        raise UserError("--samples", expected="1 or more", found=samples)
    files, given = config_of(config), dict(overrides or {})
    parser = read_config(files, given)
    with _warnings() as notes:
        batches, stores, dataset = first_batches(parser, samples)
    lists: DataList = parser.get_parsed_content("lists")
    made = [(turn, batch, number) for turn, batch in enumerate(batches, 1) for number in range(len(batch.items))]
    chosen = _chosen(made, samples)
    limits, modalities = _Limits(dataset), getattr(_reader(dataset), "modalities", ())
    shown = [
        PreviewedSample(
            batch=turn,
            fields=_fields(batch.items[number], modalities),
            scans=tuple(
                limits.scan(read, exactly=place in chosen) for read in batch.reads[number] if read.kind == "image"
            ),
            seconds=batch.seconds[number],
            foreground=foreground(batch, number),
            views=tuple(sample_views(batch, number, dataset)) if place in chosen else (),
        )
        for place, (turn, batch, number) in enumerate(made)
    ]
    first = batches[0]
    return Preview(
        bundle=str(parser.get("train", {}).get("recorder", {}).get("bundle", files[0].resolve().parent.parent.name)),
        config=tuple(map(str, files)),
        overrides=given,
        seed=int(parser.get_parsed_content("seed")),
        samples=tuple(shown),
        targets=tuple(first.targets) if isinstance(first.targets, Mapping) else (),
        organs={d.name: d.classes for d in lists.datasets},
        classes=lists.classes,
        batch_size=len(first.items),
        sample_bytes=_bytes(first.items[0]),
        batch_bytes=_bytes(first.inputs),
        batch_seconds=float(np.median([batch.prepare_seconds for batch in batches])),
        prepared=sum(store.made for store in stores),
        prepared_seconds=sum(store.seconds for store in stores if store.made),
        store=", ".join(sorted({str(store.root) for store in stores})),
        notes=tuple(dict.fromkeys(notes)),
    )


def _chosen(made: Sequence[tuple[int, Batch, int]], samples: int) -> set[int]:
    """The places of the samples that are shown: the first of each kind in turn."""
    seen: Counter[tuple] = Counter()
    ranked = []
    for place, (_, batch, number) in enumerate(made):
        kind = is_labelled(batch, number), str(batch.items[number].get("modality"))
        ranked.append((seen[kind], place))
        seen[kind] += 1
    return {place for _, place in sorted(ranked)[:samples]}


class _Limits:
    """Where 0 and 1 of a network's input lie in the unit of a scan; of one that is not CT its file says it."""

    def __init__(self, dataset: Any) -> None:
        self.window = _reader(dataset).window
        self._own: dict[str, tuple[float, float]] = {}

    def scan(self, read: Read, *, exactly: bool) -> SourceScan:
        """A scan's record; ``exactly``: of one that is not CT, its file is read for its own unit."""
        entry, intensity = read.entry, read.entry.preparation.get("intensity")
        low, high = SCALE if intensity else self.window
        own = self._of_file(read, str(intensity)) if intensity and exactly else (low, high)
        unit = ("native units" if exactly else "of 1000") if intensity else "HU"
        step = (own[1] - own[0]) / (high - low)
        least, most = (float((end - low) * step + own[0]) for end in (read.array.min(), read.array.max()))
        # on its own scale a scan is clipped already: its ends hold what lay beyond them
        below, above = (read.array <= low, read.array >= high) if intensity else (read.array < low, read.array > high)
        return SourceScan(
            entry.id, entry.patient, entry.dataset, entry.spacing, unit, (least, most),
            (float(below.mean()), float(above.mean())), read.inside, own,
        )  # fmt: skip

    def _of_file(self, read: Read, intensity: str) -> tuple[float, float]:
        key = read.entry.key
        if key not in self._own:
            item = item_of(read.entry)
            volume = read_volume(item["image"], **reading_options(item))
            self._own[key] = scale_range(volume.array.astype(np.float32), intensity, where=item["image"])
        return self._own[key]


def _reader(dataset: Any) -> Any:
    """The data set that reads, and therefore has a window, inside those that choose positions and add labels."""
    found = dataset
    while found is not None and not hasattr(found, "window"):
        found = getattr(found, "labelled", None) or getattr(found, "slices", None)
    if found is None:
        kind = type(dataset).__name__
        raise UserError("preview", expected="one of this project's data sets under train::dataset", found=kind)
    return found


def _fields(item: Mapping[str, Any], modalities: Sequence[str]) -> dict[str, Any]:
    """The numbers and words of a sample, lists of a few numbers among them."""
    found: dict[str, Any] = {}
    for key, value in item.items():
        if key in _NOT_FIELDS or key.startswith(("voxels", "voxel_labels")):
            continue
        value = value.tolist() if isinstance(value, Tensor) and value.numel() <= 12 and value.ndim < 2 else value
        if isinstance(value, str | int | float | list):
            found[key] = modalities[value] if key == "modality" and isinstance(value, int) else value
    return found


def _bytes(value: Any) -> int:
    if isinstance(value, Tensor):
        return value.numel() * value.element_size()
    parts: Sequence[Any] = list(value.values()) if isinstance(value, Mapping) else value
    return sum(map(_bytes, parts)) if isinstance(parts, list | tuple) else 0


@contextlib.contextmanager
def _warnings() -> Iterator[list[str]]:
    """What the project warns of meanwhile, each text once: training and validation read the same list."""
    notes: list[str] = []

    def note(record: logging.LogRecord) -> None:
        if (text := record.getMessage()) not in notes:
            notes.append(text)

    handler = logging.Handler(logging.WARNING)
    handler.emit = note  # type: ignore[method-assign]
    logger = logging.getLogger("monai_cl")
    logger.addHandler(handler)
    try:
        yield notes
    finally:
        logger.removeHandler(handler)
