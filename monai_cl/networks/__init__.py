"""Networks: segmentation networks with projectors and reconstructor, encoders of slices, transfer of weights."""

from __future__ import annotations

from monai_cl._lazy import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "mixcl_net": ("MixCLNet",),
        "volume.encoder_file": ("export_encoder",),
        "transfer": ("load_encoder",),
        "weights_file": ("read_about", "save_weights"),
        "description": ("describe_network",),
        "tinynet": ("TinyNet",),
        "resnet": ("grey_convolution", "load_imagenet", "slice_resnet"),
        "heads": ("predictor", "projection_head"),
        "deployed": ("reconstruction_network", "SliceRepresentation", "SliceProbability", "slice_representation"),
        "encoder": ("SliceEncoder", "representation_size"),
        "backbones": ("slice_encoder",),
        "projected": ("ProjectedEncoder", "projected_encoder"),
        "by_method": ("slice_network",),
        "initialisation": ("standardise_convolutions", "data_dependent_init"),
        "slice_transfer": ("load_slice_encoder",),
        "momentum": ("MomentumEncoder", "momentum_at", "move_towards"),
        "byol_net": ("BYOLNet",),
        "prototypes": ("ClusteringNet", "Prototypes", "clustering_network", "deployed_state"),
        "unet.semi_supervised": (
            "MeanTeacherUNet",
            "SemiSupervisedUNet",
            "SliceUNet",
            "load_slice_unet",
            "slice_unet",
            "turn_slices",
        ),
        "unet.encoder": ("MetaLabelNet", "UNetEncoder", "load_unet_encoder"),
        "volume.backbone": ("Backbone",),
        "volume.backbones": ("segmentation_network",),
        "volume.dense_encoder": ("DenseEncoder3d",),
        "volume.encoder": ("ScanClassifier", "ScanProbability", "VolumeEncoder", "scan_classifier", "volume_encoder"),
        "volume.heads": ("ScanHeads", "SliceHead"),
    },
    # names of earlier versions, which exported configs may hold
    former={
        "ReconstructionUNETR": "reconstruction_network",
        "SliceFeatures": "SliceRepresentation",
        "slice_features": "slice_representation",
        "standardise_start": "data_dependent_init",
    },
)
