"""Two real processes against one: MixCL's mean, validations that are divided, and differences that are refused."""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch.distributed as dist
from ignite.engine import Engine
from monai.utils import evenly_divisible_all_gather
from torch import nn

from monai_cl.data import PositionSampler
from monai_cl.engines import (
    AddressedRandomness,
    BroadcastBuffers,
    LossProgress,
    PatientAUC,
    RunRecorder,
    check_equal_on_all_ranks,
    distribute,
    require_single_process,
    shard_indices,
    start_process_group,
    stop_process_group,
    unwrap_ddp,
)
from monai_cl.engines.distributed.collectives import gather, mean_over_processes, on_rank_zero
from monai_cl.errors import UserError
from monai_cl.losses import MixCLLoss, NamedOrgans, mixcl_preset
from monai_cl.networks import MixCLNet
from tests.engines.runs import TinyRun
from tests.ranks import run_ranks

WORLD, SIDE, VOXELS, COUNTS = 2, 32, 24, [3, 2]
PRESETS = ("paper", "balanced", "hybrid", "supervised", "identity", "label", "reconstruction")
CLUSTERED = "clustering"  # whose codes are of the pairs of all processes together
BANKED = "memory_bank"  # whose bank holds the organs of all processes
# what the labels of the two pairs' data sets mean
BANK = {"organs": NamedOrgans([{1: "liver", 2: "spleen"}, {1: "liver"}]), "length": 5}
# (patient, class, logits of the slices): a patient with two scans, more scans for process 0 than for process 1
SCANS = [("a", 0, [-1.0, 0.3]), ("b", 1, [2.0]), ("a", 0, [3.0, 0.1, -0.7]), ("c", 1, [0.5, 0.25]), ("d", 0, [-2.0])]


def mixcl(preset: str) -> tuple[MixCLNet, MixCLLoss]:
    """Network and loss of a preset; ``balanced`` with the level that it leaves out at this size."""
    weights = mixcl_preset(preset)
    if preset == "balanced":
        weights["identity_levels"] = [0, 1, 2, 3, 4]
    levels = weights["identity_levels"] if weights["identity_levels"] is not None else range(5)
    torch.manual_seed(0)
    network = MixCLNet(
        img_size=SIDE,
        feature_size=4,
        hidden_size=24,
        mlp_dim=24,
        num_heads=2,
        levels=levels if weights["identity_weight"] else [],
        label_level=weights["label_level"] if weights["label_weight"] else None,
        reconstruct=weights["reconstruction_weight"] > 0,
        classes=COUNTS if weights["supervised_weight"] else [],
        clusters={"prototypes": 2, "embedding": 6} if weights["clustering_weight"] else None,
    )
    return network, MixCLLoss(**weights, class_counts=COUNTS, bank=BANK)


def pair(number: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """One pair of patches, of a data set of its own."""
    generator = torch.Generator().manual_seed(number)
    drawn = {key: torch.randint(16**3, (1, VOXELS), generator=generator) for key in ("voxels1", "voxels2")}
    classes = {f"voxel_{key}": torch.arange(VOXELS)[None] % COUNTS[number] for key in ("labels1", "labels2")}
    images = torch.rand(3, 1, SIDE, SIDE, SIDE, generator=generator)
    labels = torch.randint(COUNTS[number], (2, 1, SIDE, SIDE, SIDE), generator=generator)
    clean = images.roll(1, -1)
    return images, {**drawn, **classes, "clean": clean, "labels": labels, "dataset": torch.tensor([number])}


def normed(seed: int) -> nn.Module:
    """A network with a batch norm that has seen other data on every process."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    network(torch.randn(8, 3, generator=torch.Generator().manual_seed(seed)))
    return network


def auc_of(numbers: list[int]) -> tuple[float, list[dict]]:
    """The AUC, and the patients, that a process finds which measures these scans."""
    metric = PatientAUC()
    metric.reset()
    for number in numbers:
        patient, label, logits = SCANS[number]
        batch = {"number": torch.tensor([number]), "patient": [patient], "label": torch.tensor([label])}
        output = {"pred": torch.tensor(logits, dtype=torch.float64)[None, :, None]}
        metric.iteration_completed(SimpleNamespace(state=SimpleNamespace(batch=batch, output=output)))
    return metric.compute(), metric.predictions


def refusal(function, *arguments, **options) -> str:
    try:
        function(*arguments, **options)
    except UserError as error:
        return str(error)
    return ""


def refusal_of_the_first() -> dict:
    """What every process sees of an error that rank 0 alone could raise."""

    def fail() -> None:
        raise UserError("a.nii", expected="a file", found="a folder", remedy="name the file in it")

    try:
        on_rank_zero(fail)
    except UserError as error:
        return {"text": str(error), **vars(error)}
    return {}


def metric_of(rank: int) -> dict:
    """A metric of MONAI's, whose first gathering must make no group of processes, and leaves the GPU's number alone."""
    new_group, dist.new_group = dist.new_group, None
    gathered = evenly_divisible_all_gather(torch.full((rank + 1, 1), float(rank)))
    dist.new_group = new_group
    return {"metric": gathered.tolist(), "local rank": os.environ["LOCAL_RANK"]}


def record_of(folder: Path, rank: int) -> dict:
    """The curves of a run whose loss is iteration + 10 · rank."""
    record = RunRecorder(kind="pretraining", bundle="b", output_dir=folder, seed=0, data_list={}, interval=2)
    engine = Engine(lambda engine, batch: {"loss": torch.tensor(float(engine.state.iteration + 10 * rank))})
    engine.state.device = torch.device("cpu")
    record.attach(engine)
    engine.run(range(3), max_epochs=1)
    return record.curves


def work(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(WORLD), MASTER_ADDR="localhost")
    os.environ["MASTER_PORT"] = Path(folder, "port").read_text(encoding="utf-8")
    os.environ.update(SLURM_JOB_ID="1", SLURM_LOCALID="0")  # as torchrun's processes have it, which srun has started
    start_process_group(timeout=250)
    found: dict = metric_of(rank)
    found |= {"backend": dist.get_backend(), "gathered": gather([rank, "x"]), "share": shard_indices(len(SCANS))}
    found["share of one"] = shard_indices(1)
    for preset in (*PRESETS, CLUSTERED, BANKED):
        network, loss = mixcl(preset)
        wrapped = distribute(network, torch.device("cpu"))
        images, targets = pair(rank)
        value = loss(wrapped(images), targets)
        if preset == BANKED:  # once more, with a bank that is no longer empty
            loss.after_step()
            value = loss(wrapped(images), targets)
            found["bank"] = loss.bank.state_dict()
        value.backward()
        gradients = {name: p.grad for name, p in network.named_parameters() if p.requires_grad}
        found[preset] = {"loss": value.detach(), "gradients": gradients}
    network = normed(seed=rank)
    BroadcastBuffers(network)(None)
    found["buffers"] = dict(network.named_buffers())
    found["auc"] = auc_of(shard_indices(len(SCANS)))
    found["auc of all"] = auc_of(list(range(len(SCANS))))
    found["means"] = mean_over_processes(torch.tensor([rank, 3.0], dtype=torch.float64)).tolist()
    found["same"] = refusal(check_equal_on_all_ranks, {"seed": 1}, remedy="fix it")
    found["other"] = refusal(check_equal_on_all_ranks, {"seed": 1, "config key batch_size": 2 + rank}, remedy="fix it")
    found["refused by the first"] = refusal_of_the_first()
    found["alone"] = refusal(require_single_process, "the probe")
    os.chdir(Path(folder, f"machine{rank}"))  # each sees a folder of its own under the same name
    found["unseen"] = refusal(TinyRun(Path("run")).go, 2)
    sampler, steps = PositionSampler(batch_size=3), AddressedRandomness(seed=0)
    found["place"] = {"positions": list(islice(sampler, 6)), "of": sampler.world_size, "of steps": steps.rank}
    found["given"] = {
        "writes": LossProgress("x", is_writer=True).is_writer,
        "steps": AddressedRandomness(seed=0, rank=5).rank,
    }
    found["curves"] = record_of(Path(folder, f"run{rank}"), rank)
    torch.save(found, f"{folder}/rank{rank}.pt")
    dist.barrier()
    stop_process_group()


@pytest.fixture(scope="module")
def folder(tmp_path_factory, free_port) -> Path:
    folder = tmp_path_factory.mktemp("ranks")
    (folder / "port").write_text(str(free_port()))
    TinyRun(folder / "machine0" / "run").go(epochs=1)
    (folder / "machine1").mkdir()
    run_ranks(work, str(folder))
    return folder


@pytest.fixture(scope="module")
def ranks(folder) -> list[dict]:
    return [torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in range(WORLD)]


@pytest.mark.parametrize("preset", PRESETS)
def test_mixcls_gradient_is_the_mean_of_those_of_the_pairs(ranks, preset):
    alone = []
    for number in range(WORLD):
        network, loss = mixcl(preset)
        images, targets = pair(number)
        value = loss(network(images), targets)
        value.backward()
        assert value.detach() > 0
        torch.testing.assert_close(ranks[number][preset]["loss"], value.detach(), rtol=1e-6, atol=0)
        alone.append({name: p.grad for name, p in network.named_parameters() if p.grad is not None})
    assert alone[0].keys() == alone[1].keys()
    # DDP would die in the next step on a parameter that it waits for and that gets no gradient
    assert ranks[0][preset]["gradients"].keys() == alone[0].keys()
    scale = max(float(g.abs().max()) for g in alone[0].values())
    for name, first in alone[0].items():
        mean = (first + alone[1][name]) / 2
        for rank in ranks:
            torch.testing.assert_close(rank[preset]["gradients"][name], mean, rtol=1e-4, atol=1e-5 * scale)


def test_mixcls_clustering_of_two_processes_is_that_of_one_with_both_pairs(ranks):
    network, loss = mixcl(CLUSTERED)
    stacks = [pair(number)[0] for number in range(WORLD)]
    images = torch.cat([stack[view : view + 1] for view in range(3) for stack in stacks])
    value = loss(network(images), {})
    value.backward()
    alone = {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
    found = torch.stack([rank[CLUSTERED]["loss"] for rank in ranks])
    torch.testing.assert_close(found.mean(), value.detach(), rtol=1e-6, atol=0)
    scale = max(float(g.abs().max()) for g in alone.values())
    assert scale > 0
    for rank in ranks:
        assert rank[CLUSTERED]["gradients"].keys() == alone.keys()
        for name, gradient in alone.items():
            torch.testing.assert_close(rank[CLUSTERED]["gradients"][name], gradient, rtol=1e-4, atol=1e-5 * scale)


def test_mixcls_bank_of_two_processes_is_that_of_one_with_both_pairs(ranks):
    network, loss = mixcl(BANKED)
    (first, of_first), (second, of_second) = (pair(number) for number in range(WORLD))
    images = torch.stack([first, second], dim=1).flatten(0, 1)
    targets = {
        name: torch.cat([of_first[name], of_second[name]])
        if len(of_first[name]) == 1
        else torch.stack([of_first[name], of_second[name]], dim=1).flatten(0, 1)
        for name in of_first
    }
    loss.weights = {name: float(name == "bank") for name in loss.weights}
    loss(network(images), targets)
    loss.after_step()
    for rank in ranks:
        torch.testing.assert_close(rank["bank"]["features"], loss.bank.features, rtol=1e-5, atol=1e-6)
        assert torch.equal(rank["bank"]["datasets"], loss.bank.datasets)
    assert torch.equal(ranks[0]["bank"]["features"], ranks[1]["bank"]["features"])
    assert loss.bank.datasets.tolist() == [[0, 0, 1, 1, -1], [0, 0, -1, -1, -1]]


def test_mixcls_gradient_with_a_bank_is_the_mean_of_those_of_the_pairs(ranks):
    alone = []
    for number in range(WORLD):
        network, loss = mixcl(BANKED)
        images, targets = pair(number)
        loss(network(images), targets)
        loss.bank.load_state_dict(ranks[number]["bank"])
        value = loss(network(images), targets)
        value.backward()
        assert loss.terms["bank"] > 0
        torch.testing.assert_close(ranks[number][BANKED]["loss"], value.detach(), rtol=1e-6, atol=0)
        alone.append({name: p.grad for name, p in network.named_parameters() if p.grad is not None})
    scale = max(float(g.abs().max()) for g in alone[0].values())
    for name, first in alone[0].items():
        for rank in ranks:
            mean = (first + alone[1][name]) / 2
            torch.testing.assert_close(rank[BANKED]["gradients"][name], mean, rtol=1e-4, atol=1e-5 * scale)


def test_cases_are_divided_completely_and_without_overlap(ranks):
    assert [rank["share"] for rank in ranks] == [[0, 2, 4], [1, 3]]
    # an engine cannot run on no case
    assert [rank["share of one"] for rank in ranks] == [[0], [0]]
    assert shard_indices(3) == [0, 1, 2]


def test_a_divided_validation_finds_the_auc_and_the_patients_of_one_process(ranks):
    alone = auc_of(list(range(len(SCANS))))
    for rank in ranks:
        assert tuple(rank["auc"]) == alone
        assert tuple(rank["auc of all"]) == alone  # scans that both have measured count once


def test_a_divided_validation_is_of_the_network_that_is_saved(ranks):
    saved, other = (dict(normed(seed=rank).named_buffers()) for rank in range(WORLD))
    assert not torch.equal(saved["1.running_mean"], other["1.running_mean"])
    for rank in ranks:
        assert all(torch.equal(rank["buffers"][name], saved[name]) for name in saved)


def test_curves_are_means_over_the_processes_and_one_of_them_writes(ranks, folder):
    for rank in ranks:
        assert rank["curves"]["loss"] == [[2, 6.5], [3, 8.0]]
        assert rank["means"] == [0.5, 3.0]
    assert (folder / "run0" / "results.json").is_file()
    assert not (folder / "run1").exists()


def test_what_is_reported_no_rank_takes_that_of_its_process(ranks):
    assert [rank["place"] for rank in ranks] == [
        {"positions": [0, 1, 2, 6, 7, 8], "of": 2, "of steps": 0},
        {"positions": [3, 4, 5, 9, 10, 11], "of": 2, "of steps": 1},
    ]
    for rank in ranks:  # as configs of earlier versions give it
        assert rank["given"] == {"writes": True, "steps": 5}


def test_processes_that_differ_are_refused_on_all_of_them(ranks):
    for rank in ranks:
        assert rank["same"] == ""
        assert rank["other"].startswith("config key batch_size: process 1 (on ")
        assert "has 3, process 0 (on " in rank["other"]
        assert rank["other"].endswith("has 2; fix it")


def test_an_error_of_the_first_process_reaches_all_with_its_parts(ranks):
    for rank in ranks:
        assert rank["refused by the first"] == {
            "text": "a.nii: expected a file, found a folder; name the file in it",
            "where": "a.nii",
            "expected": "a file",
            "found": "a folder",
            "cause": None,
            "remedy": "name the file in it",
        }


def test_a_machine_that_does_not_see_the_checkpoint_is_named(ranks, folder):
    for rank in ranks:
        assert rank["unseen"].startswith("iteration to continue from: process 1 (on ")
        assert "has 0, process 0 (on " in rank["unseen"]
        assert rank["unseen"].endswith(
            "has 2; every machine must see the same checkpoints: put output_dir on a file system they share"
        )
    assert [path.name for path in (folder / "machine0" / "run").iterdir() if path.suffix == ".pt"]
    assert not list((folder / "machine1").iterdir())


def test_work_of_one_process_is_refused_to_several(ranks):
    assert ranks[1]["alone"] == "the probe runs in one process, but torchrun started 2; run it without torchrun"
    require_single_process("the probe")


def test_processes_without_a_gpu_talk_by_gloo(ranks):
    if not torch.cuda.is_available():
        assert [rank["backend"] for rank in ranks] == ["gloo", "gloo"]
    assert ranks[0]["gathered"] == [0, "x", 1, "x"]


def test_monais_metrics_gather_over_the_group_that_is_there_and_leave_each_process_its_gpu(ranks):
    for number, rank in enumerate(ranks):
        assert rank["metric"] == [[0.0], [1.0], [1.0]]
        assert rank["local rank"] == str(number)


def test_a_bare_network_is_itself():
    network = nn.Linear(1, 1)
    assert unwrap_ddp(network) is network
