"""Data lists, the prepared store, patches and samplers, and the synthetic phantom."""

from __future__ import annotations

from monai_cl._lazy import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "sampling.positions": ("PositionSampler", "address_seed", "address_rng", "address_generator"),
        "datalist.loading": ("DataList", "DataSet", "load_data_list"),
        "datalist.folds": ("fold_items",),
        "datalist.statistics.document": ("list_statistics", "read_statistics", "statistics_csv", "statistics_json"),
        "datalist.validation": ("Problem", "validate_data_list"),
        "io.ct_reader": ("CTReader", "LoadLabeld", "LoadScand"),
        "io.scan_intensity": ("ScanIntensityd",),
        "io.volume_writer": ("VolumeWriter",),
        "io.reading": ("Volume", "read_volume", "to_ras"),
        "dicom.seg": ("write_dicom_seg",),
        "dicom.seg_reader": ("read_dicom_seg",),
        "store.inventory": ("HeldVolume", "held_volumes", "remove_volumes", "unneeded_volumes"),
        "store.volume_store": ("Preparation", "StoreEntry", "VolumeStore"),
        "store.preparation": ("PreparedItems", "prepare"),
        "phantom.abdomen.case": ("ORGANS", "PhantomCase", "phantom_case"),
        "phantom.abdomen.cohort": ("write_cohort",),
        "slices.features": ("SliceFeatures", "read_features", "write_features"),
        "records.embeddings": ("EmbeddingTable", "read_embeddings", "write_embeddings"),
        "records.model_record": ("model_record",),
        "records.results": ("read_results", "run_record", "write_results"),
        "phantom.cirrhosis.case": ("CirrhosisCase", "cirrhosis_case"),
        "phantom.cirrhosis.cohort": ("write_cirrhosis_cohort",),
        "phantom.cine.case": ("CineScan", "cine_patient"),
        "phantom.cine.cohort": ("write_cine_cohort",),
        "phantom.head_ct.case": ("HeadCase", "head_case"),
        "phantom.head_ct.cohort": ("write_head_ct_cohort",),
        "phantom.modalities.case": ("SectionCase", "section_case"),
        "phantom.modalities.cohort": ("write_modalities_cohort",),
        "datalist.tables": ("TableLabels", "read_label_table"),
        "datalist.from_table": ("list_from_list",),
        "slices.choice": ("central_fraction", "choose_slices", "slice_depths"),
        "slices.pixels": ("collate_slices",),
        "slices.ct_slices": ("CTSlices", "SliceVolume", "organ_ids", "slice_volumes"),
        "slices.energy_reference": ("measure_energies", "read_energy_reference", "write_energy_reference"),
        "slices.segmented": ("SegmentedSlices", "SemiSupervisedSlices", "labelled_items"),
        "slices.meta_labels": ("MetaLabelledSlices", "meta_labels_of", "position_parts", "slice_parts"),
        "boxes.head_boxes": ("BoxedScan", "HeadBoxes", "boxed_scans"),
        "sampling.patients": ("PatientSampler",),
        "sampling.parts": ("PartSampler",),
        "sampling.modalities": ("ModalitySampler",),
        "patches.mixcl": ("MixCLPatches", "SegmentationPatches"),
        "patches.unlabelled": ("PatchesWithUnlabelled",),
    },
    # names of earlier versions, which exported configs may hold
    former={
        "central_part": "central_fraction",
    },
)
