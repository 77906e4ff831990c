"""What bundles refuse: options, and data that no command looks at before them. Each is a separate run."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from monai.networks.nets import UNETR

from monai_cl.data import load_data_list, read_volume
from monai_cl.data.io.fingerprint import scan_fingerprint
from monai_cl.data.records.model_record import model_record
from monai_cl.data.records.training_scans import ScanIdentity, scans_record
from monai_cl.data.slices.energy_reference import FORMAT, preparation_of
from monai_cl.networks import save_weights
from tests.bad_input.case import Case
from tests.bad_input.cases_bytes import itk
from tests.bad_input.cases_lists import EXPRESSION
from tests.bad_input.cases_tables import _in_list
from tests.bad_input.world import AFFINE, Maker, World, content, cut, document, image, item, label
from tests.data.volume_files import affine_of, ct_array

_options_row = partial(Case, "options")
_tables_row = partial(Case, "tables")
_values_row = partial(Case, "values")
_bytes_row = partial(Case, "bytes")

SPLEEN, MIXCL, WSP, CIRRHOSIS = (
    "spleen_unetr_segmentation train",
    "mixcl_ct_pretraining train",
    "wsp_ct_pretraining train",
    "cirrhosis_classification train",
)
CLUSTERED, BOXED = "clustering_pretraining train", "head_ct_classification pretrain"
PACED, FEW = "meta_label_pretraining train", "semi_supervised_segmentation train"
SEGMENT, CLASSIFY = "spleen_unetr_segmentation inference", "cirrhosis_classification inference"


def options(**given: Any) -> Callable[[World], dict[str, Any]]:
    """Sound data, and these options."""
    return lambda world: given


def _two_modalities(world: World) -> dict[str, Any]:
    world.bad["modality"] = "MR"
    return {"batch_size": 3}


def _other_energies(world: World) -> dict[str, Any]:
    energies = {"mean": [0.1] * 6, "std": [0.01] * 6, "images": 20}
    content = {
        "format": FORMAT,
        "preparation": preparation_of(512, window=(-100, 400)),
        "sigmas": [1, 2, 4, 8, 16],
        "modalities": {"CT": energies},
    }
    file = world.root / "energy.json"
    file.write_text(json.dumps(content), encoding="utf-8")
    return {"energy": str(file)}


def data(*makers: Maker, **given: Any) -> Callable[[World], dict[str, Any]]:
    """Spoilt data, and perhaps options."""

    def make(world: World) -> dict[str, Any]:
        for maker in makers:
            maker(world)
        return given

    return make


def _validation(*makers: Maker) -> Callable[[World], dict[str, Any]]:
    """The spoilt scan is the one that the segmentation is validated on."""

    def make(world: World) -> dict[str, Any]:
        for maker in (*makers, _spoilt_validation):
            maker(world)
        return {"fold": "none"}

    return make


def _spoilt_validation(world: World) -> None:
    """The last scan is validated on; comes last, for World.bad would be another one afterwards."""
    world.document["validation"] = [world.document["training"].pop()]


def _sound_validation(world: World) -> None:
    """The first scan is validated on; the spoilt one is the last."""
    world.document["validation"] = [world.document["training"].pop(0)]


def _knowing_encoder(world: World) -> dict[str, Any]:
    """An encoder of the run's size that says that it was trained on the first scan, which fold 0 validates on."""
    size = {"img_size": (32, 32, 32), "feature_size": 4, "hidden_size": 24, "mlp_dim": 48, "num_heads": 2}
    item = load_data_list(world.list_file()).items()[0]
    scan = ScanIdentity(scan_fingerprint(read_volume(item["image"])), frozenset(), "labels")
    record = model_record(
        kind="encoder",
        bundle="mixcl_ct_pretraining",
        network={},
        data_list={"name": "other"},
        scans=scans_record([scan]),
        iterations=1,
        seed=0,
    )
    path = world.root / "knows.pt"
    save_weights(UNETR(in_channels=1, out_channels=2, **size).state_dict(), path, record)
    return {"pretrained_encoder": str(path)}


def _two_grades(world: World) -> None:
    for entry, fibrosis in zip(world.document["training"], (1, 0, 4)):
        entry |= {"patient": "good", "target": 0, "meta": {"fibrosis": fibrosis}, "fold": 0}


def _constant_slice(array: np.ndarray) -> np.ndarray:
    array[..., 6] = -1024
    return array


def _encoder(world: World) -> dict[str, Any]:
    torch.save({"weight": torch.zeros(2)}, world.root / "other.pt")
    return {"pretrained_encoder": str(world.root / "other.pt")}


def _broken_encoder(world: World) -> dict[str, Any]:
    (world.root / "encoder.pt").write_bytes(b"PK\3\4 half a file")
    return {"encoder": str(world.root / "encoder.pt")}


def _file_in_the_way(world: World) -> dict[str, Any]:
    (world.root / "file").write_text("")
    return {"output_dir": str(world.root / "file" / "run")}


def _scan(maker: Maker) -> Callable[[World], dict[str, Any]]:
    """One scan to segment or classify, spoilt."""

    def make(world: World) -> dict[str, Any]:
        maker(world)
        return {"datalist": [str(world.image)]}

    return make


_STACK = affine_of("RAS", spacing=(9.0, 1.5, 1.5))
_SIDEWAYS = (image(lambda array: array, _STACK), label(lambda array: array.clip(max=3), _STACK))

RUNS = [
    # options, whatever the data
    _options_row(
        "a misspelt key",
        (SPLEEN,),
        options(itertions=10),
        ("--itertions", "train.yaml", "did you mean --iterations?"),
    ),
    _options_row(
        "a key of nobody's",
        (WSP,),
        options(zzz=1),
        ("--zzz", "train.yaml has no key 'zzz'", "it has"),
        slow=True,
    ),
    _options_row(
        "a list that is not there",
        (SPLEEN,),
        options(data_list="/nowhere/list.json"),
        ("/nowhere/list.json", "no such file"),
        slow=True,
    ),
    _options_row(
        "a fold that the list does not have",
        (SPLEEN,),
        options(fold=9),
        ("list.json", "no fold 9"),
        slow=True,
    ),
    _options_row(
        "a share of labels in per cent",
        (SPLEEN,),
        options(label_fraction=15),
        ("label_fraction", "got 15", "write 0.15"),
        slow=True,
    ),
    _options_row(
        "iterations that are not an integer number of epochs",
        (SPLEEN,),
        options(iterations=5),
        ("iterations=5", "epoch_length=2"),
        slow=True,
    ),
    _options_row(
        "a number in words",
        (SPLEEN,),
        options(epoch_length="ten"),
        ("--epoch_length", "expected an integer", "found 'ten'"),
    ),
    _options_row(
        "a negative learning rate", (SPLEEN,), options(learning_rate=-1), ("learning_rate", "a number from 0", "-1")
    ),
    _options_row(
        "a warm-up longer than the training",
        (SPLEEN,),
        options(warmup=9),
        ("warmup", "got 9 of 4"),
        slow=True,
    ),
    _options_row(
        "a patch that the network cannot halve",
        (MIXCL,),
        options(patch_size=[50, 50, 50]),
        ("patch_size", "multiples of 16", "[50, 50, 50]"),
    ),
    _options_row(
        "a spacing of two numbers",
        (MIXCL,),
        options(spacing=[1.5, 1.5]),
        ("spacing", "three lengths > 0 mm"),
        slow=True,
    ),
    _options_row("a window upside down", (MIXCL,), options(window=[250, -150]), ("window", "lower < upper"), slow=True),
    _options_row("an unknown preset", (MIXCL,), options(preset="hybird"), ("preset", "hybird", "hybrid")),
    _options_row("a negative weight", (MIXCL,), options(identity_weight=-1), ("identity_weight", "-1"), slow=True),
    _options_row("a temperature of 0", (MIXCL,), options(temperature=0), ("temperature", "0")),
    _options_row(
        "a probability above 1",
        (MIXCL,),
        options(views={"probability": 2}),
        ("probability must be in [0, 1]", "got 2"),
        slow=True,
    ),
    _tables_row(
        "a meta-label that no scan has",
        (PACED, FEW),
        data(_sound_validation),
        ("meta-label phase", "expected items with 'phase'", "leave it out of meta_labels"),
    ),
    _tables_row(
        "a modality without items",
        (CLUSTERED,),
        options(modalities=["CT", "US"]),
        ("expected at least one item of modality US under 'training'", "found CT", "add its items"),
    ),
    _options_row(
        "a batch that cannot be divided among the modalities",
        (CLUSTERED,),
        _two_modalities,
        ("batch_size 3", "a multiple of 2, the number of modalities (CT, MR)", "use 2 or 4"),
        slow=True,
    ),
    _options_row(
        "more prototypes than embeddings to assign",
        (CLUSTERED,),
        options(prototypes=99),
        ("99 prototypes for 4 embeddings", "take fewer prototypes"),
        slow=True,
    ),
    _options_row(
        "a reference of energies that is not there",
        (CLUSTERED, BOXED),
        options(energy="energy.json"),
        ("energy.json", "expected a reference file of energies", "found no such file", "reference_energy"),
        slow=True,
    ),
    _options_row(
        "a reference of energies of images of another size",
        (CLUSTERED,),
        _other_energies,
        ("energy.json", "expected energies of slices with image_size 32", "found 512", "reference_energy"),
        slow=True,
    ),
    _options_row(
        "a reference of energies of images for volumes",
        (BOXED,),
        _other_energies,
        ("energy.json", "expected energies of 3-D boxes", "found those of 2-D slices", "--box_size=8,32,32"),
        slow=True,
    ),
    _options_row(
        "more parts of a scan than any has slices",
        (PACED,),
        options(meta_labels={"position": {"parts": 999}}),
        ("slice position", "expected slices in each of 999 parts", "use fewer parts"),
        slow=True,
    ),
    _options_row(
        "more labelled scans than there are",
        (FEW,),
        options(labelled_scans=9, method="supervised"),
        ("labelled_scans: expected 1 to 3", "found 9"),
    ),
    _options_row("an unknown method", (WSP,), options(method="simlcr"), ("method", "simlcr", "simclr")),
    _options_row(
        "an unknown backbone",
        (WSP,),
        options(backbone="resnet81", width=1.0),
        ("backbone", "resnet81", "resnet18"),
        slow=True,
    ),
    _options_row("a sigma of 0", (WSP,), options(sigma=0), ("sigma must be > 0", "0"), slow=True),
    _options_row(
        "allow_outside in words",
        (WSP,),
        options(allow_outside="no"),
        ("--allow_outside", "expected True or False", "found 'no'"),
    ),
    _options_row(
        "an encoder that is not there",
        (SPLEEN,),
        options(pretrained_encoder="/nowhere/encoder.pt"),
        ("/nowhere/encoder.pt", "no such checkpoint"),
    ),
    Case(
        "weights",
        "an encoder that was trained on a scan that is validated on",
        (SPLEEN,),
        _knowing_encoder,
        ("knows.pt", "trained on the scans good (with their labels)", "--allow_overlap True"),
    ),
    _options_row("a file that is not an encoder", (SPLEEN,), _encoder, ("other.pt", "no"), slow=True),
    _options_row("an encoder file that is damaged", (CIRRHOSIS,), _broken_encoder, ("encoder.pt", "not a readable")),
    _options_row(
        "a checkpoint to resume that is not there",
        (SPLEEN,),
        options(resume="/nowhere/checkpoint.pt"),
        ("/nowhere/checkpoint.pt", "no such checkpoint"),
        slow=True,
    ),
    _options_row("an output folder below a file", (SPLEEN,), _file_in_the_way, ("file", "output_dir"), slow=True),
    # data, as far as training is concerned
    Case(
        "lists",
        "label ids with a gap, for a network with a channel an id",
        (SPLEEN,),
        data(document(labels={"0": "background", "2": "spleen"}, label_map={"1": 2})),
        ("list.json", "[0, 2]", "renumber them with a label_map"),
    ),
    Case(
        "lists",
        "an expression of a config as the path of a scan",
        (SPLEEN,),
        data(item({"image": EXPRESSION})),
        ("$open", "found nothing there", "correct the path"),
    ),
    _tables_row(
        "targets with a gap",
        (WSP,),
        data(lambda world: world.bad.update(target=5), method="supervised"),
        ("list.json", "targets 0, 1, … without gaps", "give the items a target"),
        slow=True,
    ),
    _tables_row(
        "no targets for a method that learns from them",
        (WSP,),
        data(lambda world: [entry.pop("target") for entry in world.document["training"]]),
        ("method wsp", "patients with a target", "add targets to the data list"),
        slow=True,
    ),
    _tables_row(
        "a patient with two targets, in training",
        (WSP,),
        data(item({"patient": "good", "target": 1})),
        ("list.json", "bad.nii.gz", 'target 0 for patient "good"'),
    ),
    _tables_row(
        "a table without the named column, in training",
        (WSP,),
        data(_in_list("id,stage\ngood,0\nfine,1\nbad,1\n", value="grade")),
        ("stages.csv", "expected a column 'grade'", "found id, stage"),
    ),
    _tables_row(
        "a grade that no item has",
        (CIRRHOSIS,),
        data(item({"meta": {"fibrosis": 3}}), target_field="fibroses", positive_from=3),
        ("list.json", "expected items with a fibroses", "did you mean --target_field fibrosis?"),
    ),
    _tables_row(
        "a grade in words",
        (CIRRHOSIS,),
        data(item({"meta": {"fibrosis": "F3"}}), target_field="fibrosis", positive_from=3),
        ("list.json: training[2]: bad.nii.gz", "a number as its fibrosis", "'F3' is not a number", "as a number"),
        slow=True,
    ),
    _tables_row(
        "patients who are all on one side of the value that divides a grade",
        (CIRRHOSIS,),
        options(positive_from=5),
        ("list.json", "target >= 5 and without", "only values of target from 0 to 1", "choose --positive_from"),
        slow=True,
    ),
    _tables_row(
        "scans of a patient on both sides of the value that divides a grade",
        (CIRRHOSIS,),
        data(_two_grades, target_field="fibrosis", positive_from=3),
        ("list.json: training[2]: bad.nii.gz", "the class of patient good", "by fibrosis 4", "one grade"),
        slow=True,
    ),
    _options_row(
        "the value that divides a grade in words",
        (CIRRHOSIS,),
        options(positive_from="F3"),
        ("positive_from", "found 'F3'", "leave it out"),
        slow=True,
    ),
    _tables_row(
        "a class with fewer patients than folds, in training",
        (CIRRHOSIS,),
        options(fold_count=2),
        ("list.json", "class 1: expected at least 2 patients", "found 1 (fine)", "add patients"),
    ),
    _values_row(
        "a slice of one value, in training",
        (WSP, CIRRHOSIS),
        data(image(_constant_slice), organ="none"),
        ("patient bad", "bad.nii.gz", "expected an image in slice", "take it out of the list"),
    ),
    _values_row(
        "a label id that the list does not declare, in training",
        (SPLEEN, MIXCL),
        data(label(lambda array: np.where(array == 5, 9, array))),
        ("bad_label.nii.gz", "declared ids", "declare them under"),
    ),
    _values_row(
        "a label id that the list does not declare, in validation",
        (SPLEEN,),
        _validation(label(lambda array: np.where(array == 5, 9, array))),
        ("bad_label.nii.gz", "declared ids", "declare them under"),
        slow=True,
    ),
    _values_row(
        "NaN in a scan, in validation",
        (SPLEEN,),
        _validation(image(lambda array: np.where(array > 60, np.nan, array).astype(np.float32))),
        ("bad.nii.gz", "finite HU", "replace them by air"),
    ),
    _values_row(
        "NaN in a scan to segment",
        (SEGMENT,),
        _scan(image(lambda array: np.where(array > 60, np.nan, array).astype(np.float32))),
        ("bad.nii.gz", "finite HU", "replace them by air"),
    ),
    _values_row(
        "a scan to classify that is scaled to [0, 1]",
        (CLASSIFY,),
        _scan(image(lambda array: ((array.clip(-150, 250) + 150) / 400).astype(np.float32))),
        ("bad.nii.gz", "expected Hounsfield units", "give the original scan"),
    ),
    Case(
        "geometry",
        "a label on another grid, in training",
        (SPLEEN, MIXCL, WSP, CIRRHOSIS),
        data(label(lambda array: array, AFFINE + 3 * np.eye(4, k=3)), item({"patient": "P3"})),
        ("patient P3", "bad_label.nii.gz", "expected the grid of", "resample the label to its image"),
    ),
    Case(
        "geometry",
        "a label on another grid, in validation",
        (SPLEEN,),
        _validation(label(lambda array: array[..., :-1])),
        ("bad_label.nii.gz", "expected the grid of", "resample the label to its image"),
        slow=True,
    ),
    Case(
        "geometry",
        "slices along another axis than the body's (a stack of 9 mm along x), in training",
        (PACED, WSP, CIRRHOSIS, CLUSTERED),
        data(*_SIDEWAYS),
        ("bad.nii.gz", "expected slices along the body axis", "found slices along x", "diag(1.5, 1.5, 9, 1)"),
        slow=True,
    ),
    Case(
        "geometry",
        "the same, with a method that needs no order of the slices",
        (FEW,),
        data(*_SIDEWAYS, _sound_validation, method="mixup"),
        ("bad.nii.gz", "expected slices along the body axis", "found slices along x", "diag(1.5, 1.5, 9, 1)"),
    ),
    Case(
        "geometry",
        "the same, in validation",
        (FEW,),
        data(*_SIDEWAYS, _spoilt_validation),
        ("bad.nii.gz", "expected slices along the body axis", "found slices along x", "diag(1.5, 1.5, 9, 1)"),
    ),
    _bytes_row(
        "a scan cut in the middle, in training",
        (SPLEEN, MIXCL, WSP),
        data(content(cut(0.5))),
        ("bad.nii.gz", "damaged or truncated", "copy or download it again"),
    ),
    _bytes_row(
        "a scan cut in the middle, to segment",
        (SEGMENT,),
        _scan(content(cut(0.5))),
        ("bad.nii.gz", "damaged or truncated", "copy or download it again"),
        slow=True,
    ),
    _bytes_row(
        "a scan with one bit changed, to classify",
        (CLASSIFY,),
        _scan(itk("bad.mha", content(lambda raw: raw[:900] + bytes([raw[900] ^ 4]) + raw[901:]))),
        ("bad.mha", "damaged or truncated", "export or copy it again"),
    ),
    _bytes_row(
        "a pickled .npy to segment",
        (SEGMENT,),
        _scan(lambda world: (world.bad.update(image="bad.npy"), np.save(world.root / "bad.npy", ct_array()))),
        ("bad.npy", "another kind of file", "convert it to .nii.gz"),
    ),
]
