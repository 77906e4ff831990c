"""Bundles behind a MONAI Label server, for 3D Slicer and other viewers.

MONAI Label lives in its own virtual environment. What is exported here runs without it; the modules of the app
(`monai_cl.serving.app` and what it imports) run in that environment only.
"""

from __future__ import annotations

from monai_cl._lazy import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "app_folder": ("AppFolder", "lay_out_app"),
        "interpreter": ("find_interpreter", "server_command"),
        "segment_values": ("organ_values",),
        "torchvision_operators": ("declare_torchvision_operators",),
    },
)
