"""Losses as pure functions with thin modules over them; every formula is METHOD's, every symbol the paper's."""

from __future__ import annotations

from monai_cl._lazy import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "mixcl": (
            "identity_consistency_loss",
            "identity_correlation",
            "label_consistency_loss",
            "reconstruction_loss",
        ),
        "mixcl_total": ("MixCLLoss", "mixcl_terms"),
        "presets": ("mixcl_preset",),
        "contrastive": (
            "weighted_contrastive_loss",
            "simclr_loss",
            "supcon_loss",
            "depth_aware_loss",
            "wsp_loss",
            "SimCLRLoss",
            "SupConLoss",
            "DepthAwareLoss",
            "WSPLoss",
        ),
        "kernels": ("gaussian_kernel",),
    },
)
