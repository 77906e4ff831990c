"""Data lists, the prepared store, patches and samplers, and the synthetic phantom."""

from __future__ import annotations

from monai_cl._lazy import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "addressed": ("PositionSampler", "address_seed", "address_rng", "address_generator"),
        "data_list": ("DataList", "DataSet", "load_data_list"),
        "folds": ("fold_items",),
        "validation": ("Problem", "validate_data_list"),
        "reading": ("CTReader", "Volume", "read_volume", "to_ras"),
        "dicom_seg": ("write_dicom_seg",),
        "dicom_seg_reader": ("read_dicom_seg",),
        "store": ("Preparation", "StoreEntry", "VolumeStore"),
        "preparation": ("PreparedItems", "prepare"),
        "phantom": ("ORGANS", "PhantomCase", "phantom_case"),
        "phantom_cohort": ("write_cohort",),
        "features": ("SliceFeatures", "read_features", "write_features"),
        "results": ("read_results", "run_record", "write_results"),
        "cirrhosis_phantom": ("CirrhosisCase", "cirrhosis_case"),
        "cirrhosis_cohort": ("write_cirrhosis_cohort",),
        "cirrhosis_arrays": ("CirrhosisSlices", "cirrhosis_slices"),
        "label_tables": ("TableLabels", "read_label_table"),
        "table_list": ("list_from_list", "list_from_series"),
        "slice_choice": ("central_part", "choose_slices", "slice_depths"),
        "slice_batch": ("collate_slices",),
        "slices": ("CTSlices", "SliceVolume", "organ_ids", "slice_volumes"),
        "patient_sampler": ("PatientSampler",),
        "patches": ("MixCLPatches", "SegmentationPatches"),
    },
)
