"""The undocumented parts of torch, MONAI, Ignite and Fire that this project uses are there and do what they did."""

from __future__ import annotations

import ast
import configparser
import importlib
import logging
import warnings
from pathlib import Path

import pytest
import torch
from ignite.engine import Engine, Events
from ignite.handlers.tqdm_logger import ProgressBar
from monai.networks.blocks.selfattention import SABlock
from torch import nn

from monai_cl import compat

ROOT = Path(__file__).parents[1]
FUNCTIONS = [node for node in ast.parse(Path(compat.__file__).read_text()).body if isinstance(node, ast.FunctionDef)]


def test_a_wrapper_is_released_from_its_group_and_from_what_holds_it(one_process_group):
    wrapper = nn.parallel.DistributedDataParallel(nn.Linear(2, 1))
    group = torch.distributed.ProcessGroup
    held = {
        name
        for name, value in vars(wrapper).items()
        if isinstance(value, group) or type(value).__module__.startswith("torch._C._distributed")
    }
    # one more would have to be let go of as well
    assert held == {"process_group", "reducer", "logger"}
    compat.release_group(wrapper)
    assert wrapper.process_group is wrapper.reducer is wrapper.logger is None


def test_handlers_are_listed_in_their_order_whatever_their_event_filters():
    class Called:
        def method(self, engine):
            pass

        def __call__(self, engine):
            pass

    engine, first, second, third = Engine(lambda engine, batch: None), Called(), Called(), Called()
    engine.add_event_handler(Events.EPOCH_COMPLETED, first.method)
    engine.add_event_handler(Events.EPOCH_COMPLETED(every=2), second)
    engine.add_event_handler(Events.ITERATION_COMPLETED, second)
    engine.add_event_handler(Events.EPOCH_COMPLETED, third)
    assert compat.attached_handlers(engine, Events.EPOCH_COMPLETED) == [first, second, third]


@pytest.fixture
def one_process_group():
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


def test_a_compiled_backward_gives_its_buffers_away_unless_asked_to_keep_them():
    config = importlib.import_module("torch._functorch.config")
    with config.patch(donated_buffer=True):
        compat.keep_backward_buffers()
        assert config.donated_buffer is False


def test_hooks_of_the_block_are_taken_off_and_those_before_it_stay():
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    calls = []
    network[0].register_forward_hook(lambda *_: calls.append("before"))
    network[1].register_full_backward_hook(lambda *_: calls.append("before, backward"))

    def fail() -> None:
        with compat.restored_hooks(network):
            network[0].register_forward_hook(lambda *_: calls.append("in the block"))
            network[1].register_full_backward_hook(lambda *_: calls.append("in the block, backward"))
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    network(torch.ones(1, 2, requires_grad=True)).sum().backward()
    assert calls == ["before", "before, backward"]


@pytest.mark.parametrize(
    ("options", "fused"),
    [
        ({}, True),
        ({"save_attn": True}, False),
        ({"dropout_rate": 0.1}, False),
        ({"rel_pos_embedding": "decomposed"}, False),
    ],
)
def test_attention_is_fused_where_that_changes_nothing(options, fused, monkeypatch):
    torch.manual_seed(0)
    block = SABlock(hidden_size=8, num_heads=2, input_size=(2, 2), **options).eval()
    x = torch.rand(1, 4, 8)
    before = block(x)
    assert compat.use_fused_attention(block) is fused
    calls, function = [], nn.functional.scaled_dot_product_attention
    monkeypatch.setattr(
        nn.functional, "scaled_dot_product_attention", lambda *a, **k: (calls.append(1), function(*a, **k))[1]
    )
    torch.testing.assert_close(block(x), before)
    assert bool(calls) is fused


def test_a_missing_gpu_decoder_is_not_complained_of(caplog):
    with warnings.catch_warnings():
        compat.silence_gpu_decoder()
        warnings.warn("NvImgCodecPydicomReader: no decoder", UserWarning, stacklevel=1)
    reader = importlib.import_module("monai.data.nvimgcodec_pydicom_plugin")
    logger = next(value for value in vars(reader).values() if isinstance(value, logging.Logger))
    logger.warning("no decoder")
    assert caplog.text == ""


def test_a_bar_that_shows_ends_its_line_and_one_that_does_not_is_let_be(capsys):
    bar, ends = ProgressBar(persist=True), []
    compat.close_bar(bar)

    def step(engine: Engine, batch: int) -> None:
        if batch == 1:  # the bar shows since the first iteration
            compat.close_bar(bar)
            ends.append(capsys.readouterr().err[-1:])

    engine = Engine(step)
    bar.attach(engine)
    engine.run(range(2))
    assert ends == ["\n"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("1.20", 1.2),
        ("[1,2]", [1, 2]),
        ("a.b/c", "a.b/c"),
        ("True", True),
        ("none", "none"),
        ("{a: 1}", {"a": 1}),
    ],
)
def test_words_are_read_as_fire_reads_them(text, value):
    found = compat.fire_value(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("shell", ["bash", "fish"])
def test_a_completion_script_names_the_commands(shell):
    class Commands:
        def measure(self, depth: int = 3) -> None: ...

    script = compat.fire_completion(Commands(), program="tool", shell=shell)
    assert "measure" in script
    assert "tool" in script


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.name)
def test_every_reach_says_what_it_is_into_and_what_would_replace_it(function):
    text = ast.get_docstring(function) or ""
    assert "\nOf " in text
    assert "\nReplaced by: " in text


def test_the_packages_reached_into_have_an_upper_bound():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    lines = [line for line in config["options"]["install_requires"].splitlines() if not line.startswith("#")]
    for package in ("torch", "monai", "pytorch-ignite", "fire"):
        assert any(line.startswith(f"{package}>=") and ",<" in line for line in lines), package
