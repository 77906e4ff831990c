"""``python -m monai_cl probe``: frozen features in, AUC per patient out."""

from __future__ import annotations

from pathlib import Path


def probe_command(
    *features: str,
    output: str = "probe",
    folds: str | None = None,
    fold_count: int = 5,
    seed: int = 0,
    method: str | None = None,
    cohort: str | None = None,
    target_field: str = "target",
    positive_from: float | None = None,
    balanced: bool = True,
) -> None:
    """Test frozen features: logistic regression on slices, mean probability per patient, AUC over folds of patients.

    Writes results.json, patients.csv, folds.json, roc.png, pca.png and probe.npz (a probe fitted on all patients, for
    new scans). With several files each one gets its own subfolder of the output, named also by its folder or ending
    where names repeat, all on the same folds, and the output gets the tables that compare them.

    Examples:
        python -m monai_cl probe wsp.npz simclr.npz --output runs/probe
        python -m monai_cl probe slices.npz --target_field fibrosis --positive_from 3

    Args:
        features: .npz files with features, patient, label and, where known, depth (monai_cl.engines.extract_features
            and monai_cl.data.write_features make them), and tables of embeddings (.npz, .csv, .parquet).
        output: folder for the results.
        folds: a folds.json to use; made from the patient ids and the seed when not given.
        fold_count: folds to make.
        seed: of the folds, the inner folds and the bootstrap.
        method: name of the method in tables; the file's own when not given.
        cohort: name of the patients in tables; the file's own when not given.
        target_field: what tells the patients apart: "target" is the label in the file; or a further array of it, or a
            column of a table of embeddings.
        positive_from: patients with this value or more are positive; when not given, the values are 0 and 1.
        balanced: both classes weigh the same in the fit, however many patients they have.
    """
    from monai_cl.data.io.result_names import result_names
    from monai_cl.data.records.grade import Grade
    from monai_cl.data.records.results import read_results
    from monai_cl.data.slices.features import read_features
    from monai_cl.engines.probe.folds import read_folds, stratified_folds, write_folds
    from monai_cl.engines.probe.run import describe_probe, run_probe
    from monai_cl.errors import UserError, echo
    from monai_cl.files import write_atomically
    from monai_cl.report import classification_tables, find_runs, pca_figure, roc_figure

    if not features:
        raise UserError("probe", expected="at least one features file (.npz) or table of embeddings", found="none")
    paths = [Path(str(path)) for path in features]
    twice = next((path for number, path in enumerate(paths) if path in paths[:number]), None)
    if twice is not None:
        raise UserError("probe", expected="each features file once", found=f"{twice} twice", remedy="leave one out")
    # files of one name, as every inference of an encoder writes it, are told apart by their folders
    bare = [path.with_suffix("") for path in paths]
    names = list(result_names([b if bare.count(b) == 1 else path for b, path in zip(bare, paths)]).values())
    if method is not None and len(paths) > 1:
        raise UserError("--method", expected="one features file, which it names", found="several")
    if fold_count < 2:
        raise UserError("--fold_count", expected="2 or more", found=fold_count)
    root, grade = Path(str(output)), Grade(target_field, positive_from)
    shared = None if folds is None else read_folds(str(folds))
    # all are checked before the first is probed
    loaded = [read_features(path, grade=grade) for path in paths]
    for path, slice_features in zip(paths, loaded):
        labels = slice_features.patient_labels()
        if shared is None:
            shared = stratified_folds(labels, count=fold_count, seed=seed, source=path)
        shared.require(labels)
        shared.require_classes(labels)
    for path, name, slice_features in zip(paths, names, loaded):
        folder = root if len(paths) == 1 else root / name
        run_probe(
            slice_features,
            folder,
            folds=shared,
            seed=seed,
            description={"method": method, "cohort": cohort},
            draw_roc=roc_figure,
            draw_pca=pca_figure,
            balanced=balanced,
        )
        results = read_results(folder)
        echo(
            f"{results['name']} ({path})\n{describe_probe(results['metrics'], results['data_list'])}\nwrote {folder}\n"
        )
    if len(paths) > 1:
        write_folds(root / "folds.json", shared)
        tables = classification_tables(find_runs(*(root / name for name in names)))
        text = "\n".join(table.markdown() for table in tables)
        write_atomically(root / "methods.md", text.encode("utf-8"))
        echo(text)
