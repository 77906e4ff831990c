"""What is recorded, section by section; each runs as a process of its own, started by ``python -m tests.golden``.

demo       the quick demonstration on one core: Dice, AUC, and every run's curves, metrics and weights
studies    benchmarks/low_label_gain.py, wsp_methods.py and gpu_step.py at a small size: every number but durations
real       benchmarks/real_low_label.py on the real CT folder (MONAI_CL_REAL_DATA, or ../shared/data), if it is there
messages   every row of the table of bad input: what its doors print, word for word, and whether its test passes
store      files of synthetic cohorts; prepared entries of NIfTI, NRRD, MetaImage and DICOM in both layouts, byte for
           byte; boxes read from them; what the commands on data lists and stores print and write
runs       two steps of every method and preset, of both fine-tunings, of probe, evaluation and inference: curves,
           metrics, keys, shapes and SHA-256 of the weights and of the optimiser in every checkpoint
artefacts  with a store and interrupted runs of the old code: the store is verified and read and nothing in it is made
           anew, each run is resumed and ends as the uninterrupted run of the old code did, its encoders are used
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from tests.golden.process import ROOT, Findings, Plain, fork, run, warm_up

REAL_DATA = Path(os.environ.get("MONAI_CL_REAL_DATA", ROOT.parent / "shared" / "data"))
PAGE = ROOT / "docs" / "bad_input.md"
MIXCL, SPLEEN, ORGANS = "mixcl_ct_pretraining", "spleen_unetr_segmentation", "btcv_unetr_segmentation"
WSP, CIRRHOSIS = "wsp_ct_pretraining", "cirrhosis_classification"
UNETR = {"spacing": [8, 8, 8], "patch_size": [32] * 3, "feature_size": 4, "hidden_size": 24, "mlp_dim": 48}
UNETR |= {"num_heads": 2}
SLICES = {"image_size": 160, "width": 0.125}
LISTS = {MIXCL: "ct/pretraining.json", SPLEEN: "ct/spleen.json", ORGANS: "ct/target.json"}
LISTS |= {WSP: "cirrhosis/cirrhosis_grades.json", CIRRHOSIS: "cirrhosis/cirrhosis_histology.json"}
PRESETS = ("paper", "balanced", "hybrid", "supervised", "identity", "label", "reconstruction")
METHODS = ("wsp", "simclr", "supcon", "depth_aware", "byol", "supervised")
# the runs that are interrupted and resumed: bundle, run_id, options
RESUMED: dict[str, tuple[str, str, dict[str, Any]]] = {
    "mixcl": (MIXCL, "run", {"preset": "hybrid"}),
    "spleen": (SPLEEN, "run", {"fold": 1}),
    "organs": (ORGANS, "run", {"fold": 0}),
    "wsp": (WSP, "run", {"method": "wsp"}),
    "byol": (WSP, "run", {"method": "byol"}),
    "classifier": (CIRRHOSIS, "finetune", {"batch_size": 4}),
}


class Bundles:
    """Runs bundles at a tiny size.

    Args:
        data: folder of the cohorts ``ct`` and ``cirrhosis``.
        work: the current folder of the commands, with the stores ``volumes`` and ``slices``.
    """

    def __init__(self, data: Path, work: Path, plain: Plain) -> None:
        self.data, self.work, self.plain = data, work, plain

    def cohorts(self) -> None:
        """Write them."""
        fork("monai_cl", "phantom", "--output", self.data / "ct", "--cases", 5, "--spacing", 8, cwd=self.work)
        words = ("--patients", 10, "--biopsies", 12, "--size", 160)
        fork("monai_cl", "cirrhosis", "--output", self.data / "cirrhosis", *words, cwd=self.work)

    def train(
        self, bundle: str, output: Path, *, run_id: str = "run", configs: tuple[str, ...] = ("train",), **more: Any
    ) -> dict[str, Any]:
        """A training of two steps, unless told otherwise, and what it leaves."""
        path = self.data / LISTS[bundle]
        options = {"dataset_dir": path.parent, "data_list": path, "output_dir": output, "num_workers": 0}
        options |= {"prepare_workers": 1}
        if bundle in (WSP, CIRRHOSIS):
            options |= SLICES | {"store_dir": self.work / "slices"}
            options |= {"fold_count": 2} if bundle == CIRRHOSIS else {"batch_size": 4}
        else:
            options |= UNETR | {"store_dir": self.work / "volumes"}
        if run_id != "run" or bundle != CIRRHOSIS:  # anything but the probe takes steps
            options |= {"iterations": 2, "epoch_length": 1, "learning_rate": 0.001, "train#recorder#interval": 1}
        self.execute(bundle, configs, run_id, {**options, **more})
        return self.plain.folder(output)

    def infer(self, bundle: str, output: Path, checkpoint: Path, scans: list[Path], **more: Any) -> dict[str, Any]:
        """The inference of a bundle on scans, and what it leaves."""
        size = SLICES if bundle == CIRRHOSIS else UNETR
        options = {**size, "checkpoint": checkpoint, "datalist": [str(s) for s in scans], "output_dir": output, **more}
        self.execute(bundle, ("inference",), "run", options)
        return {**self.plain.folder(output, without=r"\.nii\.gz$"), **{p.name: volume(p) for p in niftis(output)}}

    def execute(self, bundle: str, configs: tuple[str, ...], run_id: str, options: dict[str, Any]) -> None:
        """``python -m monai.bundle run``."""
        files = [str(ROOT / "bundles" / bundle / "configs" / f"{name}.yaml") for name in configs]
        texts = {k: str(v) if isinstance(v, (str, Path, bool)) else json.dumps(v) for k, v in options.items()}
        words = [word for key, text in texts.items() for word in (f"--{key}", text)]
        chosen = files[0] if len(files) == 1 else "['" + "','".join(files) + "']"
        fork("monai.bundle", "run", "--run_id", run_id, "--config_file", chosen, *words, cwd=self.work)

    def encoder(self, checkpoint: Path, output: Path) -> dict[str, Any]:
        """``python -m monai_cl export_encoder``, and what it writes."""
        fork("monai_cl", "export_encoder", checkpoint, "--output", output, cwd=self.work)
        return {path.name: self.plain.file(path) for path in (output, output.with_suffix(".json"))}

    def scans(self, name: str) -> list[Path]:
        """Two scans of a data set."""
        return niftis(next(self.data.glob(f"*/{name}")) / "images")[:2]


def niftis(folder: Path) -> list[Path]:
    """The .nii.gz of a folder, sorted."""
    return sorted(folder.rglob("*.nii.gz"))


def volume(path: Path) -> dict[str, Any]:
    """Voxels and geometry of a NIfTI file."""
    import nibabel as nib
    import numpy as np

    loaded = nib.load(path)
    return {"voxels": Plain().value(np.asarray(loaded.dataobj)), "affine": loaded.affine.tolist()}


def demo(found: Findings, work: Path, plain: Plain, **_: Any) -> None:
    """See the head of this file."""
    found.take(
        "it runs", lambda: run("-m", "monai_cl", "demo", "--quick", "--output", "d", cwd=work, pinned=True) and 0
    )
    for path in sorted((work / "d").rglob("results.json")):
        found.take(path.parent.relative_to(work).as_posix(), plain.folder, path.parent, without=r"^(?!results|model)|/")


def studies(found: Findings, work: Path, plain: Plain, **_: Any) -> None:
    """See the head of this file."""
    low = "--cases 3 --test_cases 1 --pretrain_steps 21 --finetune_steps 11 --spacing 8 --seeds 0 --output low"
    methods = "--patients 24 --biopsies 140 --steps 25 --batch 8 --warmup 3 --width 0.125 --seeds 0 --output wsp"
    few = "--methods scratch paper hybrid supervised"
    step = "--device cpu --size small --batches 1 --steps 1 --warmup 0 --ways stock --output step.json"
    found.take("low_label_gain run", _study, "low_label_gain.py", f"run {low} {few}", work, plain)
    found.take("low_label_gain table", _study, "low_label_gain.py", f"table {low}", work, plain)
    for what in ("check", "run", "table"):
        found.take(
            f"wsp_methods {what}", _study, "wsp_methods.py", f"{what} {methods}", work, plain, spoken=what != "run"
        )
    for name in (
        "low/results-0.jsonl",
        "low/study.json",
        "wsp/pretraining.jsonl",
        "wsp/judged.jsonl",
        "wsp/study.json",
    ):
        found.take(name, plain.file, work / name)
    found.take("gpu_step", _study, "gpu_step.py", step, work, plain, spoken=False)
    found.take("gpu_step losses", lambda: [r["first_loss"] for r in plain.file(work / "step.json")["rows"]])


def real(found: Findings, work: Path, plain: Plain, **_: Any) -> None:
    """See the head of this file."""
    if not (REAL_DATA / "ct_organs").is_dir():
        found["skipped"] = "no real CT"
        return
    size = "--small --spacing 8 8 8 --pretrain_steps 2 --finetune_steps 2 --methods scratch hybrid --seeds 0"
    found.take(
        "run", _study, "real_low_label.py", f"run --data {REAL_DATA} {size} --output r", work, plain, spoken=False
    )
    found.take("table", _study, "real_low_label.py", "table --output r", work, plain)
    for path in sorted((work / "r").glob("*/*/results.json")):
        found.take(path.parent.relative_to(work).as_posix(), plain.file, path)
    parts = ("dice", "gain", "pre-training, end of the curves")
    found.take("summary", lambda: {key: plain.file(work / "r" / "results.json")[key] for key in parts})


def _study(script: str, words: str, work: Path, plain: Plain, *, spoken: bool = True) -> list[str]:
    printed = plain.text(run(ROOT / "benchmarks" / script, *words.split(), cwd=work)).splitlines()
    return printed if spoken else []


def messages(found: Findings, work: Path, plain: Plain, **_: Any) -> None:
    """See the head of this file."""
    from tests.golden.rows import OUTPUT, TESTS

    os.environ |= {OUTPUT: str(work / "rows.json"), "HYPOTHESIS_STORAGE_DIRECTORY": str(work / "hypothesis")}
    words = ["-p", "no:cacheprovider", "-p", "tests.golden.rows", "-q", "--basetemp", work / "pytest"]
    found.take("pytest", lambda: run("-m", "pytest", *words, "-m", "", "-k", " or ".join(TESTS), cwd=ROOT) and 0)
    found.take("rows", lambda: json.loads((work / "rows.json").read_text(encoding="utf-8")))
    found.take("page", lambda: [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line[:2] == "| "])


def store(found: Findings, work: Path, plain: Plain, **_: Any) -> None:
    """See the head of this file."""

    def command(*words: object) -> list[str]:
        return plain.text(fork("monai_cl", *words, cwd=work)).splitlines()

    found.take("phantom", command, "phantom", "--output", work / "ct", "--cases", 3, "--seed", 3, "--spacing", 8)
    size = ("--patients", 3, "--biopsies", 2, "--size", 96, "--seed", 3)
    found.take("cirrhosis", command, "cirrhosis", "--output", work / "cirrhosis", *size)
    for name in ("ct", "cirrhosis"):
        found.take(f"{name} files", plain.folder, work / name)
    found.take("formats", _formats, work)
    lists = {"ct": "ct/pretraining.json", "slices": "cirrhosis/cirrhosis_grades.json", "formats": "formats/list.json"}
    spacings = {"native": ("native",), "coarse": ("9,7,10",), "smooth": ("12,12,12", "--antialias")}
    for name, path in lists.items():
        for what in ("validate", "summary"):
            found.take(f"datalist {what} {name}", command, "datalist", what, work / path)
        for way, (spacing, *more) in spacings.items():
            layout = "slices" if name == "slices" else "volume"
            words = ("--spacing", spacing, *more, "--layout", layout, "--progress=False")
            place = work / "stores" / f"{name}-{way}"
            found.take(f"prepare {name} {way}", command, "prepare", work / path, "--store", place, *words)
            found.take(f"store {name} {way}", stored, place, plain)
            found.take(f"verify {name} {way}", command, "store", "verify", place)
    (work / "lists").mkdir()
    folds = (
        "datalist",
        "split",
        work / "ct/target.json",
        work / "lists" / "folds.json",
        "--folds",
        3,
        "--replace_folds",
    )
    found.take("datalist split", command, *folds)
    found.take("lists", plain.folder, work / "lists")


def _formats(work: Path) -> dict[str, str]:
    """One scan as NIfTI, NRRD, MetaImage and DICOM series, and their list."""
    import SimpleITK as sitk

    folder, scan = work / "formats", niftis(work / "ct" / "synthetic_spleen" / "images")[0]
    (folder / "series").mkdir(parents=True)
    image = sitk.Cast(sitk.ReadImage(str(scan)), sitk.sitkInt16)
    shutil.copy(scan, folder / "scan.nii.gz")
    for number, name in enumerate(("b.nrrd", "c.mha"), start=1):
        sitk.WriteImage(image + number, str(folder / name))  # no two alike: that is a complaint
    writer, uid, axes = sitk.ImageFileWriter(), "1.2.826.0.1.3680043.8.498", image.GetDirection()
    writer.KeepOriginalImageUIDOn()
    for z in range(image.GetSize()[2]):
        part, place = image[:, :, z] + 3, image.TransformIndexToPhysicalPoint((0, 0, z))
        tags = {"0008|0060": "CT", "0008|0016": "1.2.840.10008.5.1.4.1.1.2", "0008|0018": f"{uid}.3.{z + 1}"}
        tags |= {"0008|0020": "20200101", "0008|0030": "120000"}
        tags |= {"0020|000d": f"{uid}.1", "0020|000e": f"{uid}.2", "0020|0013": str(z + 1), "0010|0020": "P1"}
        tags |= {"0020|0032": "\\".join(map(str, place)), "0028|1053": "1", "0028|1052": "0"}
        tags["0020|0037"] = "\\".join(str(axes[i]) for i in (0, 3, 6, 1, 4, 7))
        for tag, text in tags.items():
            part.SetMetaData(tag, text)
        writer.SetFileName(str(folder / "series" / f"{z:03d}.dcm"))
        writer.Execute(part)
    names = ("scan.nii.gz", "b.nrrd", "c.mha", "series")
    items = [{"image": name, "patient": f"p{number}"} for number, name in enumerate(names)]
    content = {"name": "formats", "labels": {"0": "background", "1": "spleen"}, "training": items}
    (folder / "list.json").write_text(json.dumps(content), encoding="utf-8")
    return {"files": str(len(list(folder.rglob("*"))))}


def stored(place: Path, plain: Plain) -> dict[str, Any]:
    """Every entry of a store byte for byte, and a box read from it."""
    from monai_cl.data import VolumeStore

    opened, found = VolumeStore.open(place), {"files": plain.folder(place)}
    for key in opened.all_keys():
        entry, box = opened.entry(key), (slice(1, 9), slice(2, 9), slice(0, 5))
        kinds = ("image", "label") if entry.has_label else ("image",)
        found[key] = {kind: plain.value(opened.read(key, box, kind=kind)) for kind in kinds}
        found[key] |= {
            f"patch of {kind}": plain.value(opened.read_patch(key, (-2, 0, 1), (7, 6, 5), kind=kind)) for kind in kinds
        }
        found[key]["coordinates"] = {str(label): plain.value(entry.coordinates(label)) for label in entry.classes}
        found[key]["facts"] = [list(entry.shape), list(entry.spacing), entry.affine.tolist(), entry.patient, entry.id]
    return found


def runs(found: Findings, work: Path, plain: Plain, **_: Any) -> None:
    """See the head of this file."""
    bundles = Bundles(work / "data", work, plain)
    bundles.cohorts()
    for preset in PRESETS:
        found.take(f"mixcl {preset}", bundles.train, MIXCL, work / preset, preset=preset)
    found.take("encoder.pt", bundles.encoder, work / "hybrid" / "model.pt", work / "encoder.pt")
    start = {"pretrained_encoder": work / "encoder.pt", "label_fraction": 0.5}
    found.take("spleen", bundles.train, SPLEEN, work / "spleen", fold=1, **start)
    found.take("organs", bundles.train, ORGANS, work / "organs", fold=0)
    overlay = {"configs": ("train", "evaluate"), "fold": 1}
    found.take("spleen evaluation", bundles.train, SPLEEN, work / "spleen", **overlay)
    scans = bundles.scans("synthetic_target")
    found.take("spleen inference", bundles.infer, SPLEEN, work / "maps", work / "spleen" / "model.pt", scans)
    for method in METHODS:
        found.take(f"slices {method}", bundles.train, WSP, work / f"slices {method}", method=method)
    more = {"backbone": "resnet18", "neighbours": 1, "width": 1.0, "head_norm": True, "batch_size": 2}
    found.take("slices resnet18", bundles.train, WSP, work / "resnet18", **more)
    found.take("probe", bundles.train, CIRRHOSIS, work / "probe", encoder=work / "slices wsp" / "model.pt")
    tuned = {"run_id": "finetune", "batch_size": 4, "encoder": work / "slices wsp" / "model.pt"}
    found.take("finetune", bundles.train, CIRRHOSIS, work / "finetune", **tuned)
    scans = bundles.scans("synthetic_cirrhosis_histology")
    found.take("cirrhosis inference", bundles.infer, CIRRHOSIS, work / "p", work / "probe" / "model.pt", scans)


def artefacts(found: Findings, work: Path, plain: Plain, *, mode: str, folder: Path) -> None:
    """See the head of this file."""
    made, length = folder / "artefacts", {"iterations": 4, "epoch_length": 2}
    bundles = Bundles(made, work, plain)
    if mode == "write":
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir()
        bundles.cohorts()
        for name, (bundle, run_id, options) in RESUMED.items():
            stop = {"train#trainer#max_epochs": 1, **length, **options}
            bundles.train(bundle, made / "runs" / name, run_id=run_id, **stop)
        bundles.encoder(made / "runs" / "mixcl" / "model.pt", made / "encoder.pt")
        for name in ("volumes", "slices"):
            shutil.copytree(work / name, made / name)
    else:
        for name in ("volumes", "slices", *RESUMED):
            shutil.copytree(made / name if name not in RESUMED else made / "runs" / name, work / name)
    for name in ("volumes", "slices"):
        found.take(f"store verify {name}", lambda n: plain.text(fork("monai_cl", "store", "verify", n, cwd=work)), name)
    for name, (bundle, run_id, options) in RESUMED.items():
        # uninterrupted in `write`, resumed in `compare`
        found.take(name, bundles.train, bundle, work / name, run_id=run_id, **length, **options)
    found.take("encoder", bundles.encoder, made / "runs" / "mixcl" / "model.pt", work / "encoder.pt")
    start = {"pretrained_encoder": made / "encoder.pt", "fold": 2}
    found.take("fine-tuning from the old encoder.pt", bundles.train, SPLEEN, work / "finetuning", **start)
    wsp, spleen = made / "runs" / "wsp" / "model.pt", made / "runs" / "spleen" / "model.pt"
    found.take("probe of the old model.pt", bundles.train, CIRRHOSIS, work / "probe", encoder=wsp)
    scans = bundles.scans("synthetic_spleen")
    found.take("inference with the old model.pt", bundles.infer, SPLEEN, work / "maps", spleen, scans)
    for name in ("volumes", "slices"):  # after everything: nothing was made anew
        found.take(f"store {name}", stored, work / name, plain)


def main() -> None:
    """One section: ``name mode folder work output``."""
    name, mode, folder, work, output = sys.argv[1], sys.argv[2], *map(Path, sys.argv[3:])
    found = Findings()
    plain = Plain(work=work, golden=folder, root=ROOT, data=REAL_DATA)
    if name in ("store", "runs", "artefacts"):
        warm_up()
    globals()[name](found, work, plain, mode=mode, folder=folder)
    output.write_text(json.dumps(found, ensure_ascii=False), encoding="utf-8")


if __name__ == "__main__":
    main()
