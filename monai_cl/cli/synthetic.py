"""``python -m monai_cl phantom [cine | head_ct | modalities] | cirrhosis``: synthetic cohorts to try everything."""

from __future__ import annotations

from monai_cl.errors import echo


class PhantomCommand:
    """Write a synthetic abdominal CT cohort of partly annotated data sets, with their data lists.

    Four pre-training data sets, each annotated for its own organs only (liver with tumours, kidneys with tumours,
    pancreas, stomach and aorta), a target set with seven organs and one with the spleen, as NIfTI, with the data
    lists pretraining.json, target.json, kidneys.json (the target set, these organs only) and spleen.json. `phantom
    cine` writes cardiac MR, `phantom head_ct` head CT, `phantom modalities` 2D images of four modalities.

    Example:
        python -m monai_cl phantom --output /data/synthetic --cases 6 --seed 0

    Args:
        output: folder to create; it must be new or empty, or see --overwrite.
        cases: cases per data set (six data sets).
        seed: the same seed writes the same files.
        spacing: mean voxel spacing in mm; 3 gives about 110 x 75 x 60 voxels, 1.5 eight times as many.
        workers: processes to use.
        overwrite: replace a cohort that is there.
    """

    def __call__(
        self,
        output: str,
        *,
        cases: int = 6,
        seed: int = 0,
        spacing: float = 3.0,
        workers: int = 1,
        overwrite: bool = False,
    ) -> None:
        from monai_cl.data.phantom.abdomen.cohort import write_cohort

        lists = write_cohort(output, cases=cases, seed=seed, spacing=spacing, workers=workers, overwrite=overwrite)
        for name, path in lists.items():
            echo(f"{name:12} {path}")

    __call__.__doc__ = __doc__  # Fire shows the class's, the checks of a command line read the method's

    def cine(
        self,
        output: str,
        *,
        patients: int = 40,
        validation: int = 5,
        test: int = 15,
        seed: int = 0,
        size: int = 96,
        position_noise: float = 1.0,
        workers: int = 1,
        overwrite: bool = False,
    ) -> None:
        """Write a synthetic cohort of short-axis cardiac MR, two scans a patient, with its data list cine.json.

        Example:
            python -m monai_cl phantom cine --output /data/cine --patients 40

        Args:
            output: folder to create; it must be new or empty, or see --overwrite.
            patients: patients to learn from, two scans each.
            validation: further patients for validation.
            test: further patients for the test.
            seed: the same seed writes the same files.
            size: pixels per side.
            position_noise: probability that up to two slices lie beyond an end of the heart; 0: none.
            workers: processes to use.
            overwrite: replace a cohort that is there.
        """
        from monai_cl.data.phantom.cine.cohort import write_cine_cohort

        lists = write_cine_cohort(
            output,
            patients=patients,
            validation=validation,
            test=test,
            seed=seed,
            size=size,
            position_noise=position_noise,
            workers=workers,
            overwrite=overwrite,
        )
        for name, path in lists.items():
            echo(f"{name:12} {path}")

    def head_ct(
        self,
        output: str,
        *,
        unlabelled: int = 600,
        patients: int = 400,
        validation: int = 100,
        test: int = 200,
        seed: int = 0,
        size: str = "half",
        workers: int = 1,
        overwrite: bool = False,
    ) -> None:
        """Write a synthetic cohort of head CT with five kinds of haemorrhage, with lists with and without labels.

        Example:
            python -m monai_cl phantom head_ct --output /data/head_ct --size quarter

        Args:
            output: folder to create; it must be new or empty, or see --overwrite.
            unlabelled: patients to pre-train on; 0: none.
            patients: labelled patients to learn from.
            validation: further patients for validation.
            test: further patients for the test.
            seed: the same seed writes the same files.
            size: full (40 slices of 224 x 192 pixels), half (20 of 112 x 96) or quarter (20 of 56 x 48).
            workers: processes to use.
            overwrite: replace a cohort that is there.
        """
        from monai_cl.data.phantom.head_ct.cohort import write_head_ct_cohort

        lists = write_head_ct_cohort(
            output,
            unlabelled=unlabelled,
            patients=patients,
            validation=validation,
            test=test,
            seed=seed,
            size=size,
            workers=workers,
            overwrite=overwrite,
        )
        for name, path in lists.items():
            echo(f"{name:20} {path}")

    def modalities(
        self,
        output: str,
        *,
        unlabelled: int = 2000,
        training: int = 1000,
        validation: int = 200,
        test: int = 400,
        seed: int = 0,
        workers: int = 1,
        overwrite: bool = False,
    ) -> None:
        """Write synthetic 2D images of CT, MR, US and XR, some with a nodule: unlabelled.json and nodules.json.

        Example:
            python -m monai_cl phantom modalities --output /data/sections --workers 4

        Args:
            output: folder to create; it must be new or empty, or see --overwrite.
            unlabelled: images of each modality without labels.
            training: images of each modality with a label to learn from, 1 with a nodule or 0.
            validation: further ones for validation.
            test: further ones for the test.
            seed: the same seed writes the same files.
            workers: processes to use.
            overwrite: replace a cohort that is there.
        """
        from monai_cl.data.phantom.modalities.cohort import write_modalities_cohort

        lists = write_modalities_cohort(
            output,
            unlabelled=unlabelled,
            training=training,
            validation=validation,
            test=test,
            seed=seed,
            workers=workers,
            overwrite=overwrite,
        )
        for name, path in lists.items():
            echo(f"{name:12} {path}")


phantom_command = PhantomCommand()


def cirrhosis_command(
    output: str,
    *,
    patients: int = 300,
    biopsies: int = 100,
    seed: int = 0,
    size: int = 176,
    workers: int = 1,
    overwrite: bool = False,
) -> None:
    """Write a synthetic cirrhosis cohort: abdominal CT slices with weak grades for many patients, histology for few.

    Example:
        python -m monai_cl cirrhosis --output /data/synthetic_cirrhosis --patients 300 --biopsies 100

    Args:
        output: folder to create; it must be new or empty, or see --overwrite.
        patients: patients with a radiological grade, for pre-training.
        biopsies: other patients with histology, for the probe.
        seed: the same seed writes the same files.
        size: pixels per side.
        workers: processes to use.
        overwrite: replace a cohort that is there.
    """
    from monai_cl.data.phantom.cirrhosis.cohort import write_cirrhosis_cohort

    lists = write_cirrhosis_cohort(
        output, patients=patients, biopsies=biopsies, seed=seed, size=size, workers=workers, overwrite=overwrite
    )
    for name, path in lists.items():
        echo(f"{name:10} {path}")
