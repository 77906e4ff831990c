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
        "depth_probe": ("DepthResult", "probe_depth"),
        "embedding_projector": ("add_embeddings",),
        "extraction": ("extract_features",),
        "linear_probe": ("LinearProbe", "fit_linear_probe"),
        "probe": ("ProbeResult", "probe_patients"),
        "probe_folds": ("PatientFolds", "grouped_folds", "read_folds", "stratified_folds", "write_folds"),
        "probe_metrics": ("AUCDifference", "auc_interval", "paired_auc_difference"),
        "probe_run": ("describe_probe", "run_probe"),
        "evaluation": ("evaluate", "load_network"),
        # a module must not have the name of something it exports: once imported it would stand in its place
        "command_line": ("Invocation", "invocation"),
        "exported_config": ("export_config",),
        "mixcl_batch": ("MixCLPrepareBatch",),
        "measures": ("effective_rank", "gradient_norms"),
        "mixcl_evaluation": ("evaluate_mixcl",),
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
            "inference_items",
            "segmentation_patches",
            "training_items",
            "validation_items",
            "volumes_in",
        ),
        "segmentation_network": ("segmentation_unetr",),
    },
)
