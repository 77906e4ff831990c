"""What messages advise exists where they are met; the table's texts are checked in their own tests as well."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from monai_cl.shipped import bundle_names
from tests.bad_input.advice import advice_faults, all_places, known_options

PACKAGE = Path(__file__).resolve().parents[2] / "monai_cl"
TRAINING = tuple(f"{bundle} train" for bundle in bundle_names())
READING = (
    "datalist validate",
    "datalist statistics",
    "prepare",
    *TRAINING,
    *(f"{bundle} evaluate" for bundle in bundle_names()),
)
SEGMENTING = ("btcv_unetr_segmentation", "spleen_unetr_segmentation")
# with a record beside each result
INFERRING = tuple(name for name in all_places() if name.endswith(" inference") and "overwrite" in known_options(name))
OF_SLICES = ("cirrhosis_classification inference", "wsp_ct_pretraining inference")
WRITING = ("datalist create", "datalist split", "datalist subset", "datalist from_table")
# file or folder -> where its messages are met; of the others an option must exist somewhere
MET = {
    "data/io/nifti.py": ("convert",),  # after the command in full
    "data/io/result_records.py": INFERRING,
    "data/io/volume_writer.py": tuple(f"{bundle} inference" for bundle in (*SEGMENTING, "mixcl_ct_pretraining")),
    "data/io/scan_intensity.py": tuple(f"{bundle} inference" for bundle in (*SEGMENTING, "mixcl_ct_pretraining")),
    "data/io": READING,
    "data/dicom": READING,
    "data/slices/energy_reference.py": ("reference_energy",),
    "data/store": READING,
    "data/slices/features.py": ("probe",),
    "data/slices": READING,
    "data/datalist/create.py": ("datalist create",),
    "data/datalist/folders/series.py": ("datalist create",),
    "data/datalist/edit.py": ("datalist split",),
    "data/datalist/json_files.py": WRITING,
    "data/datalist/reader.py": (*READING, "datalist split", "datalist subset", "datalist summary"),
    "data/phantom": ("phantom", "cirrhosis"),
    "cli/convert.py": ("convert",),
    "cli/from_table.py": ("datalist from_table",),
    "cli/prepare.py": ("prepare",),
    "cli/ahead/preview.py": ("preview",),
    "cli/probe.py": ("probe",),
    "engines/checkpoints": TRAINING,
    "engines/classification/activation_maps.py": ("cirrhosis_classification inference",),
    "engines/classification/data.py": ("cirrhosis_classification train", "cirrhosis_classification evaluate"),
    "engines/classification/liver_masks.py": OF_SLICES,
    "engines/classification/loaded_volume.py": OF_SLICES,
    "cli/plan.py": ("plan",),
    "engines/planning/training.py": ("plan",),
    "engines/planning": tuple(f"{bundle} train" for bundle in SEGMENTING),  # keys of the bundle, which plan takes
    "cli/disk/answers.py": ("runs", "store prune"),
    "cli/disk/runs.py": ("runs",),
    "cli/disk/store.py": ("store prune",),
    "data/store/inventory.py": ("store prune",),
    "cli/weights/embed.py": ("embed",),
    "engines/exporting": ("export",),
    "networks/foreign/outgoing.py": ("export",),
    "engines/embedding": ("embed",),
    "report/figures/embedding_map.py": ("embed",),
    "engines/handlers/step_guard.py": TRAINING,
    "engines/preview": ("preview",),
    "engines/probe/folds.py": ("probe", "cirrhosis_classification train"),
    "engines/segmentation/data.py": tuple(f"{bundle} train" for bundle in SEGMENTING),
    "engines/segmentation/inference_data.py": tuple(f"{bundle} inference" for bundle in SEGMENTING),
    "engines/slices/data.py": ("wsp_ct_pretraining train",),
    "engines/slices/evaluation.py": ("wsp_ct_pretraining evaluate",),
    "engines/slices/start.py": ("wsp_ct_pretraining train",),
    "serving": ("monailabel",),
}
# said of a training alone, in words
OF_A_TRAINING = "a training continues from its last checkpoint with --resume auto"


def _messages() -> Iterator[tuple[str, int, str]]:
    """(file, line, text) of every text of several words with an option or a command in it, docstrings left out."""
    for file in sorted(PACKAGE.rglob("*.py")):
        if file.name == "slurm.py":
            continue  # writes a script with sbatch's options
        tree, name = ast.parse(file.read_text(encoding="utf-8")), file.relative_to(PACKAGE).as_posix()
        skipped = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        skipped |= {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
        for node in ast.walk(tree):
            if id(node) in skipped or not isinstance(node, ast.Constant | ast.JoinedStr):
                continue
            parts = node.values if isinstance(node, ast.JoinedStr) else [node]
            text = "".join(str(part.value) if isinstance(part, ast.Constant) else "VALUE" for part in parts)
            text = text.replace(OF_A_TRAINING, "").replace("--VALUE", "")
            if " " in text.strip() and re.search(r"--[a-z]|python -m monai_cl", text) and "{ color" not in text:
                yield name, node.lineno, text


def test_an_option_that_a_message_names_exists_wherever_it_is_met():
    messages = list(_messages())
    assert len(messages) > 60
    faults = []
    for file, line, text in messages:
        doors = next((places for place, places in MET.items() if file.startswith(place)), ())
        faults += [f"{file}:{line}: {fault}" for fault in advice_faults(text, doors)]
    assert faults == []


def test_every_place_is_there():
    for place, doors in MET.items():
        assert (PACKAGE / place).exists(), place
        assert all(known_options(door) for door in doors)


@pytest.mark.parametrize(
    ("advice", "door", "fault"),
    [
        ("set --center off", "mixcl_ct_pretraining train", "--center off: True or False expected"),
        ("pass --liver_label 2", "mixcl_ct_pretraining train", "has no --liver_label"),
        ("choose --series_part 2", "prepare", "prepare has no --series_part"),
        ("run `python -m monai_cl store mend /data`", "prepare", "no command"),
        ("python -m monai_cl convert a b --liek c", "prepare", "convert has no --liek"),
        ("`datalist splitt` makes some", "prepare", "no command"),
        ('keep it under "mete"', "prepare", "no key 'mete'"),
        ("choose --series_part 2 for inference, convert and prepare", "prepare", "prepare has no --series_part"),
    ],
)
def test_advice_that_cannot_be_followed_is_seen(advice, door, fault):
    (found,) = advice_faults(advice, [door])
    assert fault in found
