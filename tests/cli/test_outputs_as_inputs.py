"""What a command or bundle writes is taken by every command and bundle that takes its kind."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser

from monai_cl.cli.commands import Commands
from monai_cl.data import load_data_list, read_volume
from monai_cl.serving import lay_out_app
from monai_cl.serving.labelled_scans import labelled_scan, write_list
from monai_cl.shipped import bundle_folder, bundle_names
from tests.bad_input.doors import command
from tests.bad_input.paths import SIZE, run_config
from tests.data.volume_files import affine_of, ct_array, write_dicom, write_dicom_on, write_nifti
from tests.engines.embedding.encoders import write_encoder

pytest.importorskip("highdicom", reason='the extra "dicom" is not installed')

SPLEEN, BTCV, MIXCL = "spleen_unetr_segmentation", "btcv_unetr_segmentation", "mixcl_ct_pretraining"
WSP, CIRRHOSIS, META = "wsp_ct_pretraining", "cirrhosis_classification", "meta_label_pretraining"
SEMI, CLUSTERS, HEADS = "semi_supervised_segmentation", "clustering_pretraining", "head_ct_classification"
ORGANS = ["liver", "spleen", "aorta"]
SLICES = {"width": 0.125, "image_size": 160}
SIZES: dict[str, dict[str, Any]] = {
    WSP: SLICES,
    CIRRHOSIS: SLICES,
    META: {"image_size": 64, "features": [4, 4, 4, 4, 4, 4]},
    MIXCL: {},
    CLUSTERS: {"image_size": 160, "backbone": "tinynet"},
    HEADS: {"box_size": [8, 32, 32], "find_head": False},
}

WEIGHTS = ("semi", "segmenter", "mixcl", "slices", "classifier", "meta", "clusters", "heads", "clustered heads")
# of every command and config: the kinds it takes, and those it writes. Kinds that only people read are left out.
# "segmenter", "mixcl" … are weights (model.pt) of that network; a label comes with its scan
TABLE: dict[str, tuple[set[str], set[str]]] = {
    "doctor": (set(), set()),
    "demo": (set(), set()),  # what it runs is in this table
    "completion": (set(), set()),
    "bundle list": (set(), set()),
    "bundle path": (set(), set()),
    "bundle schema": (set(), set()),
    "bundle weights": (set(), set()),  # untrained: tests/bundles/test_model_zoo.py loads them in every bundle
    "bundle copy": (set(), {"bundle"}),
    "phantom": (set(), {"scan", "label", "list"}),
    "cirrhosis": (set(), {"scan", "label", "list"}),
    "convert": ({"scan", "label"}, {"scan", "label"}),
    "datalist add": ({"list"}, {"list"}),  # its scans are found as those of create
    "datalist merge_masks": (set(), {"label"}),  # of masks of one organ each
    "datalist create": ({"scan", "label"}, {"list"}),
    "datalist from_table": ({"list"}, {"list"}),
    "datalist path": (set(), set()),
    "datalist split": ({"list"}, {"list"}),
    "datalist statistics": ({"list"}, {"statistics"}),
    "datalist subset": ({"list"}, {"list"}),
    "datalist summary": ({"list"}, set()),
    "plan": ({"list", "statistics"}, set()),  # its settings are for people, or --args_file: docs/planning.md
    "datalist validate": ({"scan", "label", "seg", "list"}, set()),
    "preview": ({"list", "store", "bundle"}, set()),
    "prepare": ({"scan", "label", "seg", "list"}, {"store"}),
    "store list": ({"store", "list"}, set()),
    "store prune": ({"store", "list"}, set()),
    "store verify": ({"store"}, set()),
    "store repair": ({"store"}, set()),
    "study run": (set(), set()),  # what it runs is in this table, and the others show it
    "study report": (set(), set()),
    "study status": (set(), set()),
    "study table": (set(), set()),
    "dicom_seg": ({"label"}, {"seg"}),
    "embed": ({"scan", "list", "encoder", *WEIGHTS}, {"features"}),
    "encoder show": ({"encoder"}, set()),
    "export": ({"encoder", *WEIGHTS}, set()),  # for other tools; tests/cli/test_export.py
    "export_encoder": ({"mixcl"}, {"encoder"}),
    "export_config": ({"bundle"}, {"config"}),
    "probe": ({"features"}, {"classifier", "results"}),
    "reference_energy": ({"list"}, {"energies"}),
    "report": ({"results"}, set()),
    "runs": ({"results"}, set()),
    "monailabel": ({"bundle", "segmenter", "classifier"}, {"list", "label"}),
    f"{SPLEEN} inference": ({"scan", "segmenter", "config", "bundle"}, {"label", "seg"}),
    f"{BTCV} inference": ({"scan", "segmenter"}, {"label", "seg"}),
    f"{MIXCL} inference": ({"scan", "mixcl"}, {"scan"}),
    f"{WSP} inference": ({"scan", "label", "slices"}, {"features"}),
    f"{SEMI} inference": ({"scan", "semi"}, {"label", "seg"}),
    f"{SEMI} train": ({"list", "store", "meta"}, {"semi", "results"}),
    f"{SEMI} evaluate": ({"semi"}, {"results"}),
    f"{META} inference": ({"scan", "meta"}, {"features"}),
    f"{META} train": ({"list", "store"}, {"meta", "results"}),
    f"{META} evaluate": ({"meta"}, {"results"}),
    f"{CIRRHOSIS} inference": ({"scan", "label", "classifier"}, set()),
    f"{CLUSTERS} inference": ({"scan", "clusters"}, {"features"}),
    f"{CLUSTERS} train": ({"list", "store", "energies"}, {"clusters", "results"}),
    f"{CLUSTERS} evaluate": ({"clusters"}, {"results"}),
    f"{HEADS} inference": ({"scan", "heads"}, set()),
    f"{HEADS} pretrain": ({"list", "store", "energies"}, {"clustered heads", "results"}),
    f"{HEADS} train": ({"list", "store", "clustered heads"}, {"heads", "results"}),
    f"{HEADS} evaluate": ({"heads"}, {"results"}),
    f"{SPLEEN} train": ({"list", "store", "encoder", "mixcl"}, {"segmenter", "results"}),
    f"{SPLEEN} evaluate": ({"segmenter"}, {"results"}),
    f"{SPLEEN} zero_shot": ({"mixcl"}, {"results"}),
    f"{BTCV} zero_shot": ({"mixcl"}, {"results"}),
    f"{BTCV} train": ({"list", "store", "encoder", "mixcl"}, {"segmenter", "results"}),
    f"{BTCV} evaluate": ({"segmenter"}, {"results"}),
    f"{MIXCL} train": ({"list", "store"}, {"mixcl", "results"}),
    f"{MIXCL} evaluate": ({"mixcl"}, {"results"}),
    f"{WSP} train": ({"list", "store"}, {"slices", "results"}),
    f"{WSP} evaluate": ({"slices"}, {"results"}),
    f"{CIRRHOSIS} train": ({"list", "store", "slices"}, {"classifier", "results"}),
    f"{CIRRHOSIS} evaluate": ({"classifier"}, {"results"}),
}
# where the real runs of a bundle's trainings take and give what the table says
RUNS = {
    SPLEEN: "test_segmentation_run.py",
    BTCV: "test_segmentation_run.py",  # differs from the other by its data alone, which a test holds
    MIXCL: "test_pretraining_run.py",
    WSP: "test_wsp_run.py",
    CIRRHOSIS: "test_wsp_run.py",
    META: "test_meta_label_run.py",
    SEMI: "test_semi_supervised_run.py",
    CLUSTERS: "test_clustering_run.py",
    HEADS: "test_head_ct_run.py",
}
# of what the others write, a cohort is the beginning: left to the slow tests
FAST = (
    "convert",
    "dicom_seg",
    "embed",
    "bundle copy",
    "export_config",
    "probe",
    f"{SPLEEN} inference",
    f"{MIXCL} inference",
)


@dataclass(frozen=True)
class Made:
    """An output: its path, and of a label its scan."""

    path: Path
    scan: Path | None = None


Output = dict[str, Made]


def commands(group: Any, before: str = "") -> Iterator[str]:
    """Every command by its words."""
    for name in dir(group):
        found = getattr(group, name)
        if name.startswith("_"):
            continue
        if callable(found):
            yield before + name
        else:
            yield from commands(found, f"{before}{name} ")


def test_the_table_has_a_row_for_every_command_and_config():
    configs = {
        f"{bundle} {config.stem}"
        for bundle in bundle_names()
        for config in (bundle_folder(bundle) / "configs").glob("*.yaml")
        if config.stem != "multi_gpu_train"  # the same run in several processes
    }
    assert set(TABLE) == set(commands(Commands())) | configs


def run(*words: object) -> None:
    outcome = command(*words)
    assert outcome.error is None, outcome.error


def config(bundle: str, name: str = "inference") -> Path:
    return bundle_folder(bundle) / "configs" / f"{name}.yaml"


def network(file: Path, **options: Any) -> torch.nn.Module:
    parser = ConfigParser()
    parser.read_config(str(file))
    parser.update(options)
    torch.manual_seed(0)
    return parser.get_parsed_content("network_def")


class Outputs:
    """Every output, made once, when it is first asked for."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.of = cache(self._of)

    def folder(self, name: str) -> Path:
        path = self.root / name.replace(" ", "_")
        path.mkdir(exist_ok=True)
        return path

    @property
    def series(self) -> Path:
        """A DICOM series of two acquisitions' kind: the one input that no command of ours writes."""
        folder = self.root / "series"
        return folder if folder.exists() else write_dicom(folder, ct_array((16, 16, 8)), 3.0 * np.arange(8))

    @property
    def encoder(self) -> Path:
        """A file of weights that says which input it takes, as trainings leave them."""
        path = self.root / "encoder.pt"
        return path if path.exists() else write_encoder(path, "segmentation")

    def weights(self, kind: str) -> Path:
        """Of a network as the trainings leave them."""
        path = self.root / f"{kind}.pt"
        if not path.exists():
            segmenter = {**SIZE, "organs": ORGANS}
            made = {
                "segmenter": lambda: network(config(SPLEEN), **segmenter),
                "mixcl": lambda: network(config(MIXCL, "train"), **SIZE),
                "slices": lambda: network(config(WSP), **SLICES),
                "classifier": lambda: network(config(CIRRHOSIS), **SLICES),
                "meta": lambda: network(config(META), **SIZES[META]),
                "clusters": lambda: network(config(CLUSTERS), **SIZES[CLUSTERS]),
                "heads": lambda: network(config(HEADS), **SIZES[HEADS]),
            }
            torch.save(made[kind]().state_dict(), path)
        return path

    def _of(self, command: str) -> Output:
        folder = self.folder(command)
        words = command.replace(" ", "_")
        for bundle, short in (
            (SPLEEN, "segmentation"),
            (BTCV, "segmentation"),
            (MIXCL, "mixcl"),
            (WSP, "slices"),
            (META, "slices"),
            (CLUSTERS, "slices"),
        ):
            if command == f"{bundle} inference":
                return getattr(self, f"_{short}")(folder, bundle)
        return getattr(self, f"_{words}")(folder)

    def _segmentation(self, folder: Path, bundle: str) -> Output:
        options = {"datalist": [str(self.series)], "output_dir": str(folder), "organs": ORGANS, "dicom_seg": True}
        run_config([config(bundle)], options | {"checkpoint": str(self.weights("segmenter"))})
        paths = {"label": folder / "series_seg.nii.gz", "seg": folder / "series_seg.dcm"}
        return {kind: Made(path, self.series) for kind, path in paths.items()}

    def _mixcl(self, folder: Path, bundle: str) -> Output:
        options = {"datalist": [str(self.series)], "output_dir": str(folder)}
        run_config([config(bundle)], options | {"checkpoint": str(self.weights("mixcl"))})
        return {"scan": Made(folder / "series_reconstruction.nii.gz")}

    def _slices(self, folder: Path, bundle: str) -> Output:
        scan, other = self.of("convert")["scan"].path, self.of(f"{MIXCL} inference")["scan"].path
        options = {"datalist": [str(scan), str(other)], "output_dir": str(folder), **SIZES[bundle]}
        kind = next(name for name in WEIGHTS if name in TABLE[f"{bundle} inference"][0])
        run_config([config(bundle)], options | {"checkpoint": str(self.weights(kind))})
        return {"features": Made(folder / "features.npz")}

    def _convert(self, folder: Path) -> Output:
        run("convert", self.series, folder / "scan.nii.gz")
        label = self.of(f"{SPLEEN} inference")["label"]
        run("convert", label.path, folder / "label.nii.gz", "--label_map")
        return {"scan": Made(folder / "scan.nii.gz"), "label": Made(folder / "label.nii.gz", self.series)}

    def _of_list(self, path: Path) -> Output:
        item = load_data_list(path).items()[0]
        scan = Path(item["image"])
        return {"list": Made(path), "scan": Made(scan), "label": Made(Path(item["label"]), scan)}

    def _phantom(self, folder: Path) -> Output:
        run("phantom", folder / "out", "--cases", 4, "--spacing", 12)
        return self._of_list(folder / "out" / "spleen.json")

    def _cirrhosis(self, folder: Path) -> Output:
        run("cirrhosis", folder / "out", "--patients", 2, "--biopsies", 2, "--size", 48)
        return self._of_list(folder / "out" / "cirrhosis_histology.json")

    def _datalist_create(self, folder: Path) -> Output:
        shutil.copytree(self.of("phantom")["scan"].path.parents[1], folder / "data")
        run("datalist", "create", folder / "data", "--patient", "[0-9]+")
        return {"list": Made(folder / "data" / "data_list.json")}

    def _datalist_add(self, folder: Path) -> Output:
        return {"list": add_scan(self.of("phantom")["list"].path)}

    def _datalist_merge_masks(self, folder: Path) -> Output:
        source = self.of("phantom")
        for name, kind in (("ct", "scan"), ("segmentations/spleen", "label")):
            path = folder / "case" / f"{name}.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(source[kind].path.read_bytes())
        run("datalist", "merge_masks", folder)
        return {"label": Made(folder / "case" / "labels.nii.gz", folder / "case" / "ct.nii.gz")}

    def _datalist_split(self, folder: Path) -> Output:
        source = self.of("phantom")["list"].path
        run("datalist", "split", source, source.with_name("folds.json"), "--folds", 2, "--replace_folds")
        return {"list": Made(source.with_name("folds.json"))}

    def _datalist_subset(self, folder: Path) -> Output:
        source = self.of("datalist split")["list"].path
        run("datalist", "subset", source, source.parent, "--fraction", 1, "--fold", 0)
        return {"list": Made(source.with_name("folds_fold0_100.json"))}

    def _datalist_from_table(self, folder: Path) -> Output:
        return {"list": from_table(self.of("phantom")["list"].path)}

    def _datalist_statistics(self, folder: Path) -> Output:
        path = folder / "statistics.json"
        run("datalist", "statistics", self.of("phantom")["list"].path, "--output", path)
        return {"statistics": Made(path)}

    def _prepare(self, folder: Path) -> Output:
        run("prepare", self.of("phantom")["list"].path, "--store", folder / "store", "--progress=False")
        return {"store": Made(folder / "store")}

    def _dicom_seg(self, folder: Path) -> Output:
        label = self.of(f"{SPLEEN} inference")["label"]
        run("dicom_seg", label.path, self.series, "--organs", str(ORGANS), "--output", folder / "out.dcm")
        return {"seg": Made(folder / "out.dcm", self.series)}

    def _export_encoder(self, folder: Path) -> Output:
        run("export_encoder", self.weights("mixcl"), "--output", folder / "encoder.pt")
        return {"encoder": Made(folder / "encoder.pt")}

    def _export_config(self, folder: Path) -> Output:
        run("export_config", SPLEEN, folder / "inference.yaml", "--config", "inference")
        return {"config": Made(folder / "inference.yaml")}

    def _bundle_copy(self, folder: Path) -> Output:
        run("bundle", "copy", SPLEEN, folder / SPLEEN)
        return {"bundle": Made(folder / SPLEEN)}

    def _embed(self, folder: Path) -> Output:
        scan, other = self.of("convert")["scan"].path, self.of(f"{MIXCL} inference")["scan"].path
        run("embed", self.encoder, scan, other, "--output", folder / "features.npz")
        return {"features": Made(folder / "features.npz")}

    def _probe(self, folder: Path) -> Output:
        features = labelled_features(self.of(f"{WSP} inference")["features"].path, folder / "features.npz")
        run("probe", features, "--output", folder / "out", "--fold_count", 2)
        return {"results": Made(folder / "out")}

    def _monailabel(self, folder: Path) -> Output:
        """What a training through the label server gets of a submitted label that was numbered otherwise."""
        scan, label = (self.of("phantom")[kind].path for kind in ("scan", "label"))
        info = [{"name": "spleen", "idx": 1}]
        item = labelled_scan("a", scan, label, label_info=info, organs=["liver", "spleen"], folder=scan.parent)
        assert item["label"] != str(label)
        copies = scan.parents[1]
        write_list(copies / "submitted.json", [item], [], organs=["liver", "spleen"])
        return {"label": Made(Path(item["label"]), scan)}


@pytest.fixture(scope="module")
def outputs(tmp_path_factory) -> Outputs:
    return Outputs(tmp_path_factory.mktemp("outputs"))


def from_table(path: Path) -> Made:
    """``datalist from_table`` with that list as ``--scans``."""
    items = load_data_list(path).items()
    stages = {str(item["patient"]): item.get("target", number % 2) for number, item in enumerate(items)}
    table = path.with_name("stages.csv")
    table.write_text("id,stage\n" + "".join(f"{p},{stage}\n" for p, stage in stages.items()), encoding="utf-8")
    words = ("--patient", "id", "--value", "stage", "--folds", 0, "--overwrite")
    run("datalist", "from_table", table, path.with_name("staged.json"), "--scans", path, *words)
    return Made(path.with_name("staged.json"))


def add_scan(path: Path) -> Made:
    """The list, copied, with one scan more."""
    dataset = load_data_list(path).datasets[0]
    number = len(list(dataset.root.glob("new_*")))
    new = write_nifti(dataset.root / f"new_{number}.nii.gz", ct_array(seed=number), affine_of("LPS"))
    longer = path.with_name(f"{path.stem}_longer.json")
    shutil.copy(path, longer)
    words = ("--patient", "new_[0-9]+", "--allow_outside", "True")
    run("datalist", "add", longer, "--images", new.name, "--dataset", dataset.name, *words)
    assert str(new) in [item["image"] for item in load_data_list(longer).items()]
    return Made(longer)


def labelled_features(source: Path, target: Path) -> Path:
    """Four times the features, of eight patients with a class each."""
    from monai_cl.data.slices.features import SliceFeatures, read_features, write_features

    found = read_features(source)
    rows = np.arange(len(found) * 4) % len(found)
    patient = np.array([f"{p}{n // len(found)}" for n, p in enumerate(found.patient[rows])])
    label = [sorted(set(patient.tolist())).index(p) % 2 for p in patient.tolist()]
    noise = np.random.default_rng(0).normal(size=found.features[rows].shape)
    return write_features(target, SliceFeatures(found.features[rows] + noise, patient, label, about=found.about))


def list_of(folder: Path, made: Made, kind: str) -> Path:
    """A data list in which the output is the image, or the label of its scan."""
    item = {"image": str(made.path)} if kind == "scan" else {"image": str(made.scan), "label": str(made.path)}
    labels = {"0": "background"} | {str(number): f"organ {number}" for number in range(1, 20)}
    document = {"name": "one", "labels": labels, "training": [item]}
    if kind == "seg":
        document["labels"] = {"0": "background"} | {str(n): organ for n, organ in enumerate(ORGANS, 1)}
    path = folder / "list.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def take(taker: str, kind: str, made: Made, folder: Path, outputs: Outputs) -> None:
    """Hand an output to a command or bundle, which must be content with it."""
    inference = {"output_dir": str(folder / "out")}
    if taker.endswith(" inference"):
        bundle = taker.split()[0]
        size = SIZES.get(bundle, {"organs": ORGANS})
        needs = next(name for name in WEIGHTS if name in TABLE[taker][0])
        file = made.path if kind == "config" else config(bundle)
        if kind == "bundle":
            file = made.path / "configs" / "inference.yaml"
        scan = made.path if kind == "scan" else made.scan or outputs.series
        options = {"datalist": [str(scan)], "checkpoint": str(outputs.weights(needs)), **size, **inference}
        if kind == "label":
            options |= {"liver_mask": str(made.path), "liver_label": int(read_volume(made.path).array.max())}
        run_config([file], options)
        return
    where = ("--allow_outside", "True")
    takers: dict[str, Callable[[], object]] = {
        "convert": lambda: run("convert", made.path, folder / "out.nii.gz", *(["--label_map"] * (kind == "label"))),
        "datalist create": lambda: create_list(folder, made, kind),
        "datalist validate": lambda: run(
            "datalist", "validate", made.path if kind == "list" else list_of(folder, made, kind), *where
        ),
        "datalist statistics": lambda: run("datalist", "statistics", made.path, *where),
        "datalist summary": lambda: run("datalist", "summary", made.path),
        "datalist split": lambda: run(
            *("datalist", "split", made.path, folder / "out.json", "--folds", 2, "--replace_folds"), *where
        ),
        "datalist subset": lambda: run(*("datalist", "subset", made.path, folder / "out", "--fraction", 1), *where),
        "datalist from_table": lambda: from_table(made.path),
        "datalist add": lambda: add_scan(made.path),
        "plan": lambda: make_plan(made.path, kind, outputs, where),
        "prepare": lambda: run(
            *("prepare", made.path if kind == "list" else list_of(folder, made, kind), "--store", folder / "store"),
            *("--progress=False", *where),
        ),
        "preview": lambda: look_before_a_run(made.path, kind, outputs, folder),
        "store list": lambda: look_into_store("list", made.path, kind, outputs, folder),
        "store prune": lambda: look_into_store("prune", made.path, kind, outputs, folder),
        "store verify": lambda: run("store", "verify", made.path),
        "store repair": lambda: run("store", "repair", made.path),
        "dicom_seg": lambda: write_seg(folder, made),
        "export_encoder": lambda: run("export_encoder", made.path, "--output", folder / "encoder.pt"),
        "export_config": lambda: run("export_config", made.path, folder / "config.yaml", "--config", "inference"),
        "embed": lambda: run("embed", outputs.encoder, made.path, "--output", folder / "f.npz", *where),
        "probe": lambda: run(
            *("probe", labelled_features(made.path, folder / "f.npz"), "--output", folder / "out", "--fold_count", 2)
        ),
        "reference_energy": lambda: run(
            *("reference_energy", made.path, "--output", folder / "energy.json", "--store", folder / "store"),
            *("--image_size", 64, *where),
        ),
        "report": lambda: run("report", made.path, "--output", folder / "report.html"),
        "runs": lambda: run("runs", made.path),
        "monailabel": lambda: lay_out_app(
            folder / "app", made.path, checkpoint=outputs.weights("segmenter"), overrides={**SIZE, "organs": ORGANS}
        ),
    }
    takers[taker]()


def make_plan(path: Path, kind: str, outputs: Outputs, where: tuple[str, ...]) -> None:
    """Of a tiny network, with the statistics of its list."""
    words: tuple[object, ...] = (path,)
    if kind == "statistics":
        words = (outputs.of("phantom")["list"].path, "--statistics", path)
    sizes = ("--backbone", "segresnet", "--feature_size", 8, "--memory", "8GB")
    run("plan", MIXCL, *words, *sizes, "--preset", "label", "--label_level", 1, *where)


def look_before_a_run(path: Path, kind: str, outputs: Outputs, folder: Path) -> None:
    """``preview`` of a list by the bundle that takes any scans, of a bundle's copy, or with a store that is there."""
    data = path if kind == "list" else outputs.of("phantom")["list"].path
    if kind == "store":
        shutil.copytree(path, folder / "store")
    words = ("--data_list", data, "--store_dir", folder / "store", "--output", folder / "preview.html")
    more = {"allow_outside": True, "dataset_dir": data.parent, "samples": 1, "prepare_workers": 1}
    if kind == "list":
        crops = "{'count': [2, 1], 'size': [32, 16]}"
        more |= {"preset": "small", "image_size": 64, "crops": crops, "batch_size": 2, "prototypes": 2, "embedding": 4}
    else:
        more |= SIZE
    options = [str(word) for key, value in more.items() for word in (f"--{key}", value)]
    run("preview", CLUSTERS if kind == "list" else path if kind == "bundle" else SPLEEN, *words, *options)
    assert (folder / "preview.html").is_file()


def look_into_store(command: str, path: Path, kind: str, outputs: Outputs, folder: Path) -> None:
    """``store list`` or ``store prune`` of a copy of a store, with a list of its scans or another one."""
    store = path if kind == "store" else outputs.of("prepare")["store"].path
    data = path if kind == "list" else outputs.of("phantom")["list"].path
    shutil.copytree(store, folder / "store")
    run("store", command, folder / "store", data, "--allow_outside", "True", *(["--yes"] * (command == "prune")))


def create_list(folder: Path, made: Made, kind: str) -> None:
    data = folder / "data"
    scan = made.path if kind == "scan" else made.scan
    for number in range(2):
        (data / f"p{number}").mkdir(parents=True)
        (data / f"p{number}" / "label.nii.gz").write_bytes(made.path.read_bytes())
        (data / f"p{number}" / "ct.nii.gz").write_bytes(scan.read_bytes() if scan.is_file() else made.path.read_bytes())
    words = ("--images", "{case}/ct.nii.gz") + (("--labels", "{case}/label.nii.gz") if kind == "label" else ())
    run("datalist", "create", data, *words)


def write_seg(folder: Path, made: Made) -> None:
    """The label of a NIfTI scan needs that scan as a DICOM series, which is made here."""
    scan = made.scan
    if scan.is_file():
        volume = read_volume(scan)
        scan = write_dicom_on(folder / "dicom", volume.array // 2 * 2, volume.affine)
    names = str({number: f"organ {number}" for number in range(1, 20)})
    run("dicom_seg", made.path, scan, "--organs", names, "--output", folder / "seg.dcm")


def pairs() -> Iterator[Any]:
    for writer, (_, written) in TABLE.items():
        for taker, (taken, _) in TABLE.items():
            for kind in sorted(written & taken):
                marks = [] if writer in FAST else [pytest.mark.slow]
                yield pytest.param(writer, kind, taker, id=f"{writer} -> {kind} -> {taker}", marks=marks)


def is_tried_here(writer: str, kind: str, taker: str) -> bool:
    """Not what takes a training, or weights of one; the label server writes its list for its training alone.

    What `SEMI` writes, the transforms of the other segmentations write.
    """
    if f"{SEMI} inference" in (writer, taker):
        return False
    if kind in (*WEIGHTS, "encoder") or (writer, kind) == ("monailabel", "list"):
        return False
    return not any(name.endswith((" train", " pretrain", " evaluate", " zero_shot")) for name in (writer, taker))


@pytest.mark.parametrize(("writer", "kind", "taker"), [pair for pair in pairs() if is_tried_here(*pair.values)])
def test_an_output_is_an_input(writer, kind, taker, outputs, tmp_path):
    take(taker, kind, outputs.of(writer)[kind], tmp_path, outputs)


def test_the_other_pairs_are_those_of_trainings():
    folder = Path(__file__).parents[1] / "bundles"
    others = [pair.values for pair in pairs() if not is_tried_here(*pair.values)]
    for writer, kind, taker in others:
        # tests/cli/test_encoder.py, test_export.py; the runs in RUNS embed what they trained
        if taker in ("encoder show", "embed", "export"):
            continue
        bundles = {name.split()[0] for name in (writer, taker)} & set(RUNS)
        assert bundles or "monailabel" in (writer, taker), (writer, kind, taker)
        assert all((folder / RUNS[bundle]).is_file() for bundle in bundles)
