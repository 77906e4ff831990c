"""The same calls in one process and in several."""

from __future__ import annotations

import os
import subprocess
import sys

import ignite.distributed as idist
import pytest
import torch
from monai.networks.nets import UNETR

from monai_cl.engines import (
    distribute,
    local_device,
    parameter_groups,
    rank,
    start_process_group,
    stop_process_group,
    world_size,
)
from monai_cl.engines.distributed.collectives import gather
from monai_cl.engines.distributed.process_group import own_gpu
from monai_cl.errors import UserError


def unetr() -> UNETR:
    return UNETR(
        in_channels=1, out_channels=2, img_size=32, feature_size=4, hidden_size=12, mlp_dim=12, num_heads=2
    )  # fmt: skip


@pytest.fixture
def group_of_one(monkeypatch, free_port):
    """A process group of one process, as ``torchrun --nproc_per_node=1`` lays it out."""
    for name, value in {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "localhost"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MASTER_PORT", str(free_port()))
    start_process_group()
    yield
    stop_process_group()


def test_a_process_alone_is_rank_zero_of_one(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    start_process_group()
    assert not torch.distributed.is_initialized()
    assert (rank(), world_size()) == (0, 1)
    stop_process_group()


def test_a_network_alone_is_moved_and_not_wrapped():
    network = unetr()
    assert distribute(network, torch.device("cpu")) is network


def test_an_optimiser_of_one_process_fits_several(group_of_one, monkeypatch):
    alone = distribute(unetr(), torch.device("cpu"))
    optimizer = torch.optim.AdamW(parameter_groups(alone, learning_rate=1e-3))
    alone(torch.rand(1, 1, 32, 32, 32)).square().mean().backward()
    assert all(parameter.grad is not None for parameter in alone.parameters() if parameter.requires_grad)
    optimizer.step()
    monkeypatch.setattr("monai_cl.engines.distributed.wrapping.world_size", lambda: 2)
    wrapped = distribute(unetr(), torch.device("cpu"))
    several = torch.optim.AdamW(parameter_groups(wrapped, learning_rate=1e-3))
    several.load_state_dict(optimizer.state_dict())
    assert str(several.state_dict()) == str(optimizer.state_dict())


@pytest.mark.skipif(torch.cuda.is_available(), reason="about machines without a GPU")
def test_without_a_gpu_the_device_is_the_cpu():
    assert local_device() == torch.device("cpu")


def test_a_group_is_joined_once_and_left(group_of_one):
    start_process_group()  # again, as a second workflow in the process does
    assert (rank(), world_size()) == (0, 1)
    assert torch.distributed.get_backend() == ("nccl" if torch.cuda.is_available() else "gloo")
    assert idist.backend() == torch.distributed.get_backend()
    stop_process_group()
    assert not torch.distributed.is_initialized()
    assert idist.backend() is None  # MONAI's metrics continue in one process


def test_a_group_is_joined_in_a_shell_that_slurm_gave(monkeypatch, request):
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    monkeypatch.delenv("SLURM_LOCALID", raising=False)
    request.getfixturevalue("group_of_one")
    assert os.environ.pop("SLURM_LOCALID") == "0"
    assert (idist.get_rank(), idist.get_world_size()) == (0, 1)


LEAVE = """
import os, sys
import torch, torch.distributed as dist
from monai_cl.engines.distributed.process_group import start_process_group, stop_process_group
from monai_cl.engines.distributed.wrapping import data_parallel

sys.setswitchinterval(1000)  # gloo's threads get the interpreter's lock only where it is given up
for _ in range(40):
    start_process_group()
    network = data_parallel(torch.nn.Linear(2, 2), torch.device("cpu"))
    for _ in range(3):  # the tensors die here at once, and whoever lets go of them last needs the lock
        dist.all_gather([torch.empty(4)], torch.ones(4))
    stop_process_group()
    threads = len(os.listdir("/proc/self/task"))
    del network
    assert len(os.listdir("/proc/self/task")) == threads  # gloo's had ended while the network was still there
print("left")
"""


@pytest.mark.slow
def test_leaving_a_group_does_not_wait_for_a_thread_that_waits_for_the_interpreter(free_port):
    # it did, now and then: a process stayed for ever after its results were written
    environment = {**os.environ, "RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1"}
    environment |= {"MASTER_PORT": str(free_port()), "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", LEAVE], env=environment, capture_output=True, encoding="utf-8", timeout=200
    )
    assert (done.returncode, done.stdout) == (0, "left\n"), done.stderr


def test_one_process_gathers_what_it_has():
    assert gather([{"id": "a"}, 2]) == [{"id": "a"}, 2]


def test_several_processes_wrap_the_network_and_freeze_what_gets_no_gradient(group_of_one, monkeypatch):
    monkeypatch.setattr("monai_cl.engines.distributed.wrapping.world_size", lambda: 2)
    wrapped = distribute(unetr(), torch.device("cpu"))
    assert isinstance(wrapped, torch.nn.parallel.DistributedDataParallel)
    frozen = {name for name, parameter in wrapped.module.named_parameters() if not parameter.requires_grad}
    assert frozen
    assert all("norm_cross_attn" in name for name in frozen)
    for _ in range(2):  # DDP dies at the second step on a parameter without a gradient
        wrapped(torch.rand(1, 1, 32, 32, 32)).square().mean().backward()
    assert all(p.grad is not None for p in wrapped.parameters() if p.requires_grad)


def test_a_process_without_a_gpu_of_its_own_learns_how_many_there_are():
    assert own_gpu(1, 2) == 1
    with pytest.raises(UserError, match=r"process 2 of machine .* has no GPU of its own: 2 visible; .*node=2"):
        own_gpu(2, 2)


@pytest.mark.parametrize("timeout", [0, -1, "soon", True, float("nan")])
def test_a_time_out_is_a_number_of_seconds(timeout):
    with pytest.raises(UserError, match="process_timeout: expected a number of seconds > 0, found"):
        start_process_group(timeout=timeout)
