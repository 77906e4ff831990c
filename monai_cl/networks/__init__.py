"""Networks: MixCL's UNETR with projectors and reconstructor, and the transfer of encoder weights."""

from __future__ import annotations

from monai_cl._lazy import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "mixcl_net": ("MixCLNet",),
        "transfer": ("export_encoder", "load_encoder"),
    },
)
