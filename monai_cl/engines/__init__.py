"""The thin pieces MONAI's Ignite engines lack: batch preparation, handlers, run records."""

from __future__ import annotations

from monai_cl._lazy import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "checkpoint": ("Checkpoints",),
        "distributed": (
            "distribute",
            "local_device",
            "rank",
            "start_process_group",
            "stop_process_group",
            "world_size",
        ),
        "evaluation": ("evaluate", "load_network"),
        # a module must not have the name of something it exports: once imported it would stand in its place
        "command_line": ("Invocation", "invocation"),
        "exported_config": ("export_config",),
        "mixcl_batch": ("MixCLPrepareBatch",),
        "measures": ("effective_rank", "gradient_norms"),
        "mixcl_log": ("MixCLDiagnostics",),
        "overlays": ("OverlayPictures",),
        "parameters": ("parameter_groups",),
        "pretraining_data": ("class_counts", "describe", "identity_levels", "mixcl_patches", "read_list"),
        "progress": ("LossProgress",),
        "randomness": ("AddressedRandomness", "seed_weights"),
        "recorder": ("RunRecorder", "dice_metrics"),
        "startup": ("bundle_root", "preflight", "shipped_list"),
        "schedule": ("cosine_schedule", "epochs_of"),
        "segmentation_data": (
            "foreground_names",
            "image_preprocessing",
            "segmentation_patches",
            "training_items",
            "validation_items",
            "volumes_in",
        ),
        "segmentation_network": ("segmentation_unetr",),
    },
)
