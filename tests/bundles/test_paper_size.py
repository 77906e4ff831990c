"""The network at the paper's size takes an optimiser step on a CPU, within a desktop's memory."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

STEP = """
import resource, sys
import torch
from monai_cl.engines import MixCLPrepareBatch
from monai_cl.losses import MixCLLoss, mixcl_preset
from monai_cl.networks import MixCLNet

torch.manual_seed(0)
preset = mixcl_preset("paper")
network = MixCLNet()  # 96 cubed, feature size 16, hidden size 768
loss = MixCLLoss(**preset)
optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4)
labels = torch.zeros(1, 1, 96, 96, 96, dtype=torch.uint8)
labels[..., 30:60, 30:60, 30:60] = 1
voxels = torch.arange(128)[None] * 700
batch = {
    "image1": torch.rand(1, 1, 96, 96, 96), "image2": torch.rand(1, 1, 96, 96, 96),
    "label1": labels, "label2": labels, "position": torch.tensor([0]), "dataset": torch.tensor([0]),
    "voxels1": voxels, "voxels2": voxels,
    "voxel_labels1": torch.arange(128)[None] % 2, "voxel_labels2": torch.arange(128)[None] % 2,
}
inputs, targets = MixCLPrepareBatch(seed=0)(batch, torch.device("cpu"))
value = loss(network(inputs), targets)
value.backward()
norm = torch.nn.utils.get_total_norm([p.grad for p in network.parameters() if p.grad is not None])
optimizer.step()
finite = all(bool(torch.isfinite(p).all()) for p in network.parameters())
print("result", float(value), float(norm), finite, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
"""


def test_one_step_at_the_papers_size_is_finite_and_fits_a_desktop(record_property):
    done = subprocess.run([sys.executable, "-c", STEP], capture_output=True, encoding="utf-8", timeout=1700)
    assert done.returncode == 0, done.stderr[-3000:]
    _, value, norm, finite, gib = done.stdout.splitlines()[-1].split()
    record_property("peak_rss_gib", gib)
    print(f"loss {value}, gradient norm {norm}, peak memory {float(gib):.1f} GiB")
    assert math.isfinite(float(value))
    assert math.isfinite(float(norm))
    assert float(norm) > 0
    assert finite == "True"
    assert float(gib) < 24
