"""A preview of each bundle: its batches are those of the run, its page has their images, and no run is started."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ignite.engine import Events
from monai.utils.enums import CommonKeys
from PIL import Image

from monai_cl.data.records.previewed import STACK, Preview
from monai_cl.engines.preview.batches import Batch, config_of, first_batches, read_config
from monai_cl.engines.preview.preview import _warnings, preview_run
from monai_cl.errors import UserError
from monai_cl.report.preview.faults import preview_faults
from monai_cl.report.preview.page import render_preview
from monai_cl.shipped import bundle_names
from tests.bundles.workflow import config_files, initialised
from tests.report.test_html import Page

MIXCL, SPLEEN, BTCV = "mixcl_ct_pretraining", "spleen_unetr_segmentation", "btcv_unetr_segmentation"
META, SEMI = "meta_label_pretraining", "semi_supervised_segmentation"
CLUSTERS, HEADS = "clustering_pretraining", "head_ct_classification"


def every(fast: str) -> list[Any]:
    """All bundles; all but one take too long for the fast suite."""
    return [pytest.param(name, marks=[] if name == fast else pytest.mark.slow) for name in bundle_names()]


# Ignite warns of MONAI's way to attach a scheduler; torch of a pinned memory that is not there
pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    """A list of images of two modalities, eight each."""
    folder, rng, items = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0), []
    for number in range(16):
        Image.fromarray(rng.integers(0, 255, (32, 32), dtype=np.uint8)).save(folder / f"{number}.png")
        items.append({"image": f"{number}.png", "patient": f"p{number}", "modality": "US" if number % 2 else "XR"})
    (folder / "images.json").write_text(
        json.dumps({"name": "pictures", "labels": {"0": "background"}, "training": items})
    )
    return folder


@pytest.fixture(scope="module")
def options(request, tmp_path_factory) -> Callable[..., dict[str, Any]]:
    """What makes a training of a bundle tiny."""
    store = tmp_path_factory.mktemp("preview") / "store"

    def of(bundle: str) -> dict[str, Any]:
        make = {
            MIXCL: "training_options", SPLEEN: "training_options", BTCV: "training_options", META: "cine_options",
            SEMI: "cine_options", HEADS: "head_options", CLUSTERS: "pictures",
        }.get(bundle, "slice_options")  # fmt: skip
        made = request.getfixturevalue(make)
        if bundle == CLUSTERS:
            given: dict[str, Any] = {"dataset_dir": str(made), "preset": "small", "batch_size": 4, "image_size": 32}
            given |= {"crops": {"count": [2, 2], "size": [24, 16]}, "rescale": {"size": [24, 36], "scale": [0.5, 1.2]}}
            given |= {"prototypes": 4, "embedding": 8, "queue_length": 8, "queue_start": 1, "num_workers": 0}
            given |= {"iterations": 4, "epoch_length": 2, "freeze_iterations": 1}
        else:
            given = made(bundle) if callable(made) else dict(made)
        more = {SEMI: {"labelled_scans": 3, "labelled_batch": 2}}.get(bundle, {})
        return {**given, **more, "device": "cpu", "store_dir": str(store)}

    return of


class EnoughSeen(Exception):
    """Ends a run, whose end would record a score."""


def batches(bundle: str, options: dict[str, Any], samples: int = 4) -> list[Batch]:
    return first_batches(read_config(config_of(bundle), options), samples)[0]


def batches_of_run(bundle: str, options: dict[str, Any], output_dir: Path, count: int) -> list[tuple[Any, Any]]:
    """What ``prepare_batch`` gave a run's engine in its first iterations."""
    workflow = initialised(bundle, "train", **options, output_dir=str(output_dir))
    trainer, seen = workflow.parser.get_parsed_content("train#trainer"), []

    def note(engine: Any) -> None:
        (output,) = engine.state.output  # a list, see `ListedOutput`
        seen.append((output[CommonKeys.IMAGE], output[CommonKeys.LABEL]))
        if len(seen) == count:
            raise EnoughSeen

    trainer.add_event_handler(Events.ITERATION_COMPLETED, note)
    with pytest.raises(EnoughSeen):
        trainer.run()
    return seen


def same(one: Any, other: Any) -> None:
    torch.testing.assert_close(one, other, atol=0, rtol=0)


@pytest.mark.parametrize("bundle", every(META))
def test_the_batches_are_those_that_the_runs_engine_gets(bundle, options, tmp_path):
    given = options(bundle)
    seen = batches(bundle, given)
    expected = batches_of_run(bundle, given, tmp_path / "run", len(seen))
    assert len(seen) == len(expected)
    for batch, (inputs, targets) in zip(seen, expected):
        same(batch.inputs, inputs)
        same(batch.targets, targets)


@pytest.mark.slow
def test_the_batches_of_a_mean_teacher_are_those_of_the_run(options, tmp_path):
    given = {**options(SPLEEN), "unlabelled_weight": 1.0}
    (seen,) = batches(SPLEEN, given)
    ((inputs, targets),) = batches_of_run(SPLEEN, given, tmp_path / "run", 1)
    same(seen.inputs, inputs)
    same(seen.targets, targets)


WANTED = {
    MIXCL: {"P1", "V1", "V1'", "P2", "V2"},
    SPLEEN: {"patch"},
    BTCV: {"patch"},
    SEMI: {"slice", "labelled view", "view 1", "view 2"},
    CLUSTERS: {"slice", "large crop 1", "large crop 2", "small crop 1", "small crop 2"},
    HEADS: {"box", "crop"},
    "cirrhosis_classification": {"slice", "view"},
}


@pytest.mark.parametrize("bundle", every(SEMI))
def test_each_bundle_gives_a_page_and_starts_no_run(bundle, options, tmp_path):
    given = {**options(bundle), "output_dir": str(tmp_path / "run"), "store_dir": str(tmp_path / "store")}
    made = preview_run(bundle, given)
    shown = [sample for sample in made.samples if sample.views]
    assert len(shown) == 4
    assert {view.name for sample in shown for view in sample.views} == WANTED.get(bundle, {"slice", "view 1", "view 2"})
    assert [fault for fault in preview_faults(made) if "clipped" in fault or "equal" in fault] == []
    text = render_preview(made)
    found = Page(text)
    assert made.bundle == bundle
    assert len(text) < 1_000_000
    assert f"Preview of {bundle}" in found.text
    assert all(sample.scans[0].id in found.text for sample in made.samples)
    assert len(found.all("img")) >= sum(len(sample.views) for sample in shown)
    assert {path.name for path in tmp_path.iterdir()} == {"store"}
    assert made.prepared == len(list((tmp_path / "store").glob("*/entry.json"))) > 0
    assert preview_run(bundle, given).prepared == 0


@pytest.mark.slow
def test_crops_of_volumes_are_drawn_as_stacks(options):
    files = ",".join(config_files(HEADS, "train", "pretrain"))
    small = {"prototypes": 4, "embedding": 8, "queue_length": 4, "queue_start": 1, "freeze_iterations": 1}
    made = preview_run(files, {**options(HEADS), **small}, samples=2)
    views = [view for sample in made.samples[:2] for view in sample.views]
    assert {view.axes for view in views} == {STACK}
    assert {view.name for view in views} == {"box", "large crop", "small crop 1", "small crop 2"}
    assert len(Page(render_preview(made)).all("img")) == len(views)


def shares(made: Preview, labelled: bool) -> list[bool]:
    return [bool(sample.foreground) == labelled for sample in made.samples if sample.views]


def test_a_mixed_batch_shows_labelled_and_unlabelled_samples(options):
    made = preview_run(SEMI, options(SEMI))
    assert shares(made, True).count(True) == shares(made, False).count(True) == 2
    labels = [view.label for sample in made.samples for view in sample.views if view.name == "labelled view"]
    assert len(labels) == 2
    assert made.organs["synthetic_cine"] == {1: "right ventricle", 2: "myocardium", 3: "left ventricle"}


def test_slices_of_mr_are_shown_in_the_units_of_the_file(options):
    made = preview_run(META, options(META), samples=2)
    for sample in made.samples[:2]:
        (scan,), (view, *_) = sample.scans, sample.views
        assert scan.unit == "native units"
        low, high = scan.window
        # on the store's scale whole numbers of a thousandth
        stored = np.array([view.image.min(), view.image.max()]) * (high - low) + low
        assert stored[0] >= scan.values[0] - 1e-3 * (high - low)
        assert stored[1] <= scan.values[1] + 1e-3 * (high - low)
    assert {key for key in made.samples[0].fields if key.startswith("label_")} == {
        "label_position", "label_patient", "label_phase"
    }  # fmt: skip
    assert made.samples[2].scans[0].unit == "of 1000"


@pytest.mark.slow
def test_of_crops_only_the_scans_that_are_read_are_prepared(options, tmp_path):
    made = preview_run(MIXCL, {**options(MIXCL), "store_dir": str(tmp_path / "store")}, samples=1)
    used = {scan.id for scan in made.samples[0].scans}
    entries = [json.loads(file.read_text()) for file in (tmp_path / "store").glob("*/entry.json")]
    assert {entry["id"] for entry in entries} == used
    assert made.prepared == len(used) <= 2


def test_the_random_state_is_left_as_it_was(options):
    torch.manual_seed(7)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002 -- the global one
    preview_run(META, options(META), samples=1)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()  # noqa: NPY002 -- likewise


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"image_sise": 3}, "did you mean --image_size?"),
        ({"seed": "three"}, "--seed: expected an integer"),
        ({"data_list": "nowhere.json"}, "nowhere.json"),
        ({"scans_per_batch": 0}, "scans_per_batch must be >= 1"),
    ],
)
def test_a_mistake_is_the_runs_one_line(options, more, said, tmp_path):
    with pytest.raises(UserError, match=said) as caught:
        preview_run(META, {**options(META), **more})
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("config", "said"), [("no_such_bundle", "no such bundle"), ("nowhere/train.yaml", "no such file"), ("", "nothing")]
)
def test_a_config_that_is_not_there_is_refused(config, said):
    with pytest.raises(UserError, match=said):
        preview_run(config)


def test_a_config_of_something_else_and_no_samples_are_refused(tmp_path):
    (tmp_path / "train.yaml").write_text("network_def: 3\n")
    with pytest.raises(UserError, match="the config of a training"):
        preview_run(str(tmp_path / "train.yaml"))
    with pytest.raises(UserError, match="--samples: expected 1 or more, found 0"):
        preview_run(META, samples=0)


def test_a_warning_that_both_parts_of_a_list_give_is_noted_once():
    logger = logging.getLogger("monai_cl.engines.anywhere")
    with _warnings() as notes:
        for text in ("first", "second", "first"):
            logger.warning("%s", text)
    assert notes == ["first", "second"]
