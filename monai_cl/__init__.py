"""Contrastive pre-training for CT that uses the labels people already have, as MONAI bundles."""

from __future__ import annotations

import importlib

from monai_cl._version import __version__

__all__ = ["__version__", "data", "engines", "losses", "networks", "report", "transforms"]


def __getattr__(name: str):
    # sub-packages are imported when they are named, so that ``import monai_cl`` stays light
    if name in __all__:
        return importlib.import_module(f"monai_cl.{name}")
    raise AttributeError(f"module 'monai_cl' has no attribute {name!r}")
