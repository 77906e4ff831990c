"""Handlers of Ignite engines."""

from __future__ import annotations

from monai_cl._lazy import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(__name__, {"attaching": ("existing_handler",)})
