"""Transforms beside MONAI's own: what MixCL needs and MONAI lacks, or does slower."""

from __future__ import annotations

from monai_cl._lazy import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "voxel_sampling": ("boundary_weight_map", "sample_voxels"),
        "spacing": ("Spacingd",),
        "check_hounsfield": ("CheckHounsfieldd",),
        "warp": ("WarpParameters", "random_warp", "apply_warp"),
        "views": ("random_views",),
        "crops.energy": ("BandEnergies", "EnergyReference", "band_factors", "band_sigmas", "spectrum"),
        "crops.crop": ("draw_crop",),
        "crops.multi_crop": ("MultiCrop", "apply_crops"),
        "movement": ("Movements", "draw_movement", "move", "movements"),
        "shaded_views": ("ShadedSliceViews",),
        "slice_views": ("SliceView", "SliceViews", "apply_slice_views", "draw_slice_view", "random_slice_views"),
        "volume.crops": ("VolumeCrops",),
        "volume.variants": ("Variant", "apply_variant", "draw_variant"),
        "volume.head_box": ("box_findings", "head_box"),
        "volume.head_box_transform": ("HeadBoxd",),
        "volume.inverse_labels": ("InvertLabelsd",),
    },
)
