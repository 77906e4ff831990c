"""Faster ways to compute a network do not change what it computes, what it is called, or what a bundle can switch."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys

import pytest
import torch
from monai.networks.nets import UNETR, ViT

from monai_cl.engines import accelerate, distribute, fuse_attention, gradient_norms
from monai_cl.engines.distributed.acceleration import utf8_locale
from monai_cl.networks import MixCLNet


def small_net() -> MixCLNet:
    torch.manual_seed(0)
    return MixCLNet(img_size=32, feature_size=4, hidden_size=24, mlp_dim=48, num_heads=3)


def outputs_and_gradients(network: MixCLNet) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    out = network(torch.randn(3, 1, 32, 32, 32, generator=generator))
    flat = [*out["levels"], out["reconstruction"]]
    torch.stack([x.square().mean() for x in flat]).sum().backward()
    return [x.detach() for x in flat] + [p.grad for p in network.parameters() if p.grad is not None]


@pytest.mark.parametrize("options", [{"fused_attention": True}, {"channels_last": True}], ids=lambda o: next(iter(o)))
def test_outputs_and_gradients_stay_the_same(options):
    plain, fast = small_net(), accelerate(small_net(), **options)
    assert list(plain.state_dict()) == list(fast.state_dict())
    for one, other in zip(outputs_and_gradients(plain), outputs_and_gradients(fast), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)


def test_every_attention_block_of_a_unetr_is_fused():
    network = small_net()
    assert fuse_attention(network) == 12
    assert all(block.attn.use_flash_attention for block in network.unetr.vit.blocks)


@pytest.mark.parametrize("options", [{"dropout_rate": 0.1}, {"save_attn": True}], ids=lambda o: next(iter(o)))
def test_blocks_that_the_fused_kernel_would_change_are_left_alone(options):
    network = ViT(in_channels=1, img_size=32, patch_size=16, hidden_size=24, mlp_dim=48, num_heads=3, **options)
    assert fuse_attention(network) == 0


def test_the_attention_of_monai_that_the_fused_kernel_replaces_is_there():
    """MONAI may rename or move its block; then nothing would be fused, and nobody would notice."""
    network = UNETR(1, 2, img_size=32, feature_size=4, hidden_size=24, mlp_dim=48, num_heads=3)
    calls = []
    original = torch.nn.functional.scaled_dot_product_attention

    def counted(*args, **kwargs):
        calls.append(1)
        return original(*args, **kwargs)

    accelerate(network, fused_attention=True)
    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setattr(torch.nn.functional, "scaled_dot_product_attention", counted)
        network(torch.zeros(1, 1, 32, 32, 32))
    assert len(calls) == 12


def test_channels_last_changes_the_weights_order_in_memory_and_not_their_values():
    plain, fast = small_net(), accelerate(small_net(), channels_last=True)
    weight = fast.unetr.encoder1.layer.conv1.conv.weight
    assert weight.is_contiguous(memory_format=torch.channels_last_3d)
    assert torch.equal(weight, plain.unetr.encoder1.layer.conv1.conv.weight)
    flat = accelerate(torch.nn.Sequential(torch.nn.Conv2d(2, 4, 3)), channels_last=True)
    assert flat[0].weight.is_contiguous(memory_format=torch.channels_last)


def test_compiling_keeps_the_module_and_the_names_of_its_weights(monkeypatch):
    asked = []
    monkeypatch.setattr(torch, "compile", lambda function, *args, **kwargs: asked.append(function) or function)
    network = small_net()
    names = list(network.state_dict())
    assert accelerate(network, compiled=True) is network
    assert list(network.state_dict()) == names
    assert len(asked) == 1
    network(torch.zeros(3, 1, 32, 32, 32))  # goes through what torch.compile returned


def test_distribute_takes_the_options():
    network = distribute(small_net(), torch.device("cpu"), fused_attention=True)
    assert network.unetr.vit.blocks[0].attn.use_flash_attention


@pytest.mark.slow
def test_the_compiler_is_imported_under_any_locale():
    code = (
        "import locale, torch; locale.setlocale(locale.LC_ALL, 'C'); from monai_cl.engines import accelerate; "
        "accelerate(torch.nn.Linear(1, 1), compiled=True); import torch._inductor.select_algorithm; "
        "print(locale.setlocale(locale.LC_CTYPE))"
    )
    environment = {**os.environ, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, encoding="utf-8", timeout=280
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split()[-1] == "C"  # as it was


class Small(torch.nn.Module):
    """A network of a separate class: the compiler passes over torch's containers."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.GELU(), torch.nn.Linear(8, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
def test_gradient_norms_are_measured_after_a_plain_step_has_compiled_the_backward(backend):
    functorch = importlib.import_module("torch._functorch.config")
    with functorch.patch(donated_buffer=True), utf8_locale():  # torch's default
        network = accelerate(Small(), compiled=True)
        network.compile(backend=backend)
        network(torch.rand(3, 4)).square().mean().backward()
        term = network(torch.rand(3, 4)).square().mean()
        norm = gradient_norms({"term": term}, list(network.parameters()))["term"]
        network.zero_grad()
        term.backward()  # as the training does next
    total = torch.nn.utils.get_total_norm([parameter.grad for parameter in network.parameters()])
    assert norm == pytest.approx(float(total), rel=1e-5)


@pytest.mark.slow
def test_a_compiled_network_computes_the_same():
    plain, fast = small_net(), accelerate(small_net(), compiled=True)
    for one, other in zip(outputs_and_gradients(plain), outputs_and_gradients(fast), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)
