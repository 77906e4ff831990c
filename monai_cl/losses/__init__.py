"""Losses as pure functions with thin modules over them; formulas and symbols are those of the papers."""

from __future__ import annotations

from monai_cl._lazy import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "mixcl.consistency": (
            "identity_consistency_loss",
            "identity_terms",
            "label_consistency_loss",
            "label_consistency_of_pairs",
            "reconstruction_loss",
        ),
        "mixcl.correlation": ("aligned_features", "identity_correlation", "identity_penalty"),
        "segmentation": ("supervised_loss",),
        "mixcl.loss": ("MixCLLoss", "MixCLOptions", "mixcl_terms"),
        "mixcl.organ_bank": ("NamedOrgans", "OrganBank", "organ_bank_loss"),
        "mixcl.presets": ("balance_interval", "mask_ratio", "mixcl_preset", "view_geometry"),
        "contrastive": (
            "weighted_contrastive_loss",
            "log_weighted_contrastive_loss",
            "simclr_loss",
            "supcon_loss",
            "depth_aware_loss",
            "wsp_loss",
            "SimCLRLoss",
            "SupConLoss",
            "DepthAwareLoss",
            "WSPLoss",
        ),
        "clustering": ("SwappedPredictionLoss", "sinkhorn", "swapped_prediction_loss"),
        "modality_clustering": ("ModalityClusteringLoss",),
        "hybrid": ("HybridLoss", "KnownLabelsLoss", "known_label_losses"),
        "queue": ("EmbeddingQueue",),
        "self_paced": ("self_paced_loss", "self_paced_minimum", "self_paced_weight"),
        "meta_label": ("MetaLabelLoss",),
        "byol": ("BYOLLoss", "byol_loss"),
        "cross_entropy": ("CrossEntropyLoss",),
        "method_loss": ("DeclaredLoss", "MethodLoss"),
        "slice_loss": ("SliceLoss",),
        "semi_supervised": (
            "ConsistencyLoss",
            "EntropyLoss",
            "MixUpLoss",
            "MutualInformationLoss",
            "SliceSegmentationLoss",
            "SummedLoss",
            "consistency_loss",
            "mix_up_loss",
            "mutual_information",
            "prediction_entropy",
            "slice_segmentation_loss",
        ),
        "options": ("check_meta_labels",),
        "gather": ("GatheredLoss", "gather_with_gradient"),
        "kernels": (
            "log_gaussian_kernel",
            "log_near_position",
            "log_same_label",
            "log_same_slice",
        ),
    },
)
