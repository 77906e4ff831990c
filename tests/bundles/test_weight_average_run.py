"""``--weight_average`` of every bundle: what is validated, deployed and evaluated is the average of the weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tests.bundles.conftest import ORGANS, PRETRAINING, SPLEEN
from tests.bundles.head_runs import HEAD
from tests.bundles.slice_runs import CLASSIFICATION
from tests.bundles.slice_runs import PRETRAINING as WSP
from tests.bundles.test_clustering_run import BUNDLE as IMAGES
from tests.bundles.test_clustering_run import images  # noqa: F401
from tests.bundles.test_device_reads import CINE, META, start  # noqa: F401
from tests.bundles.workflow import BUNDLES, assert_equal, run_workflow, weights

pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.slow, pytest.mark.timeout(900)]

STEPS = 3
CASES = (
    *(WSP + "-" + method for method in ("wsp", "byol")), IMAGES + "-mixed", META + "-self_paced",
    CINE + "-mean_teacher", PRETRAINING + "-paper", SPLEEN, ORGANS + "-unlabelled", CLASSIFICATION, HEAD,
    HEAD + "-pretrain",
)  # fmt: skip


def test_every_training_bundle_has_a_case():
    assert {case.split("-")[0] for case in CASES} == {file.parts[-3] for file in BUNDLES.glob("*/configs/train.yaml")}


@pytest.mark.parametrize("case", CASES)
def test_the_average_of_the_steps_is_what_a_training_deploys(start, case):  # noqa: F811
    made = start(case, iterations=STEPS, epoch_length=STEPS, weight_average=0.999)
    averaged = made.parser.get_parsed_content("averaged")
    trainer = made.parser.get_parsed_content("train#trainer")
    behind: list[dict[str, torch.Tensor]] = []
    trainer.optimizer.register_step_post_hook(
        lambda *_: behind.append({name: p.detach().clone() for name, p in averaged.trained.named_parameters()})
    )
    made.run()
    assert len(behind) == STEPS
    folder = Path(made.parser.get_parsed_content("output_dir"))
    deployed = weights(folder)
    assert_equal(deployed, _unit_prototypes(averaged.network.state_dict()))
    # what the optimiser moves is the plain mean of so few steps
    moved = {
        name
        for group in trainer.optimizer.param_groups
        for p in group["params"]
        for name, q in _named(averaged)
        if q is p
    }
    assert moved
    for name in moved:
        mean = _unit_prototypes({name: torch.stack([step[name] for step in behind]).mean(0)})[name]
        torch.testing.assert_close(deployed[name], mean, atol=1e-6, rtol=1e-5, msg=name)
    content = torch.load(folder / f"checkpoint_iteration={STEPS}.pt", weights_only=True)
    assert any(not torch.equal(content["network"][name], deployed[name]) for name in moved)


def _unit_prototypes(state):
    """Prototypes are deployed with unit length, which their average does not have."""
    return {
        name: value / value.norm(dim=1, keepdim=True) if name.endswith("prototypes.weight") else value
        for name, value in state.items()
    }


def _named(averaged):
    return list(averaged.trained.named_parameters())


def test_an_evaluation_of_the_checkpoint_has_the_dice_of_the_validation(training_options, tmp_path):
    options = training_options(SPLEEN) | {
        "output_dir": str(tmp_path), "iterations": 4, "epoch_length": 4, "overlay_cases": 0, "learning_rate": 0.01,
        "weight_average": 0.9,
    }  # fmt: skip
    run_workflow(SPLEEN, "train", **options)
    validated = json.loads((tmp_path / "results.json").read_text())["metrics"]
    options["checkpoint"] = str(tmp_path / "checkpoint_iteration=4.pt")
    made = run_workflow(SPLEEN, "train", "evaluate", **options)
    assert_equal(made.parser.get_parsed_content("network").state_dict(), weights(tmp_path))
    evaluated = json.loads((tmp_path / "evaluation" / "results.json").read_text())["metrics"]
    assert evaluated == validated
