"""The thin pieces MONAI's Ignite engines lack: batch preparation, handlers, run records."""

from __future__ import annotations

from monai_cl._lazy import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
    },
)
