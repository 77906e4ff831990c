"""MONAI's ``Spacingd`` that leaves the rest of the dictionary alone."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai import transforms


class Spacingd(transforms.Spacingd):
    """:class:`monai.transforms.Spacingd`, same arguments and values, for dictionaries with names of all kinds.

    MONAI's (1.6.1) takes every entry whose name begins with ``image_`` for a metadata dictionary of ``image`` and
    updates it: it fails on ``image_path`` (MONAI Label adds one) and overwrites ``image_meta_dict``. Here it sees only
    the arrays it resamples, under names that are not a prefix of another; whatever else is in the item stays as it is.

    Args:
        *args: positional arguments of MONAI's transform.
        **kwargs: keyword arguments of MONAI's transform, such as ``keys``, ``pixdim`` (mm) and ``mode``.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._names = {key: str(number) for number, key in enumerate(self.keys)}
        self._hidden = transforms.Spacingd(*args, **kwargs)
        self._hidden.keys = tuple(self._names.values())
        # one resampler for both: the inverse looks for the same object that was applied
        self._hidden.spacing_transform = self.spacing_transform

    def __call__(self, data: Mapping[Hashable, torch.Tensor], lazy: bool | None = None) -> dict[Hashable, torch.Tensor]:
        """The item with its keys resampled; raises KeyError where a required key is absent."""
        volumes = {key: data[key] for key in self.key_iterator(dict(data))}
        resampled = self._hidden(
            {self._names[key]: array for key, array in volumes.items()}, lazy=self.lazy if lazy is None else lazy
        )
        return {**data, **{key: resampled[self._names[key]] for key in volumes}}
