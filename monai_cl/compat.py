"""Every reach into an undocumented part of torch, MONAI, Ignite and Fire: what it is for, and what would replace it.

The upper bounds in setup.cfg stand for what is here. The tests go through all of it with the installed versions: an
upgrade that breaks one fails there, by name. Nothing is imported before it is needed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ignite.engine import Engine
    from ignite.handlers.tqdm_logger import ProgressBar
    from monai.networks.blocks.selfattention import SABlock
    from torch import nn


def running_workflow_folder() -> Path | None:
    """The folder of the configs of the `ConfigWorkflow` that is resolving its config now; None outside of one.

    Of MONAI: that `ConfigWorkflow` resolves within its own methods, and its attribute ``config_root_path``.
    Replaced by: a config that knows the folder of its file.
    """
    from monai.bundle import ConfigWorkflow

    for names in _callers():
        if isinstance(names.get("self"), ConfigWorkflow):
            return Path(names["self"].config_root_path)
    return None


def weights_being_loaded() -> Path | None:
    """The file whose weights `monai.bundle.load` is about to copy; None outside of it.

    Of MONAI: the local names ``full_path`` and ``bundle_config_file`` of ``load``.
    Replaced by: a ``load`` that hands the file to the config, or refuses weights that do not fit.
    """
    for names in _callers():
        if {"full_path", "bundle_config_file", "load_ts_module"} <= names.keys():
            return Path(names["full_path"])
    return None


def _callers() -> Iterator[dict[str, Any]]:
    """The local names of the functions that are being executed, the innermost first.

    Of Python: `sys._getframe`, which CPython has.
    Replaced by: what replaces the functions that use it.
    """
    frame = sys._getframe(1)
    while frame.f_back is not None:
        frame = frame.f_back
        yield dict(frame.f_locals)  # from Python 3.13 on a proxy, whose keys are a list


def release_group(wrapper: nn.parallel.DistributedDataParallel) -> None:
    """Let a DDP wrapper go of its process group; it cannot train afterwards.

    A reducer that holds the group to the last ends it without giving up the interpreter's lock, waiting for gloo's
    threads; and one of those may wait for the lock, to let go of a tensor: a process that has done its work hangs.
    Python's own references give the lock up.

    Of torch: `DistributedDataParallel.reducer`, ``logger`` and ``process_group``.
    Replaced by: a ``destroy_process_group`` that may be called while wrappers live, or a method of DDP that closes it.
    """
    wrapper.reducer = wrapper.logger = None
    wrapper.process_group = None  # else the threads live on, and a late one aborts an ending interpreter


def keep_backward_buffers() -> None:
    """Let a compiled backward keep its buffers: `gradient_norms` goes through one graph twice, which it refuses else.

    Holds for the process, and costs memory.

    Of torch: ``torch._functorch.config.donated_buffer``.
    Replaced by: a documented option of `torch.compile`, or a compiled backward that heeds ``retain_graph``.
    """
    import torch._functorch.config

    torch._functorch.config.donated_buffer = False


@contextmanager
def restored_hooks(network: nn.Module) -> Iterator[None]:
    """Take the hooks off a network that are put on it in the ``with`` block: MONAI's `GradCAM` leaves its own.

    Of torch: `Module._forward_hooks` and ``_backward_hooks``.
    Replaced by: a `GradCAM` that removes its hooks, or gives their handles.
    """
    before = [(hooks, set(hooks)) for m in network.modules() for hooks in (m._forward_hooks, m._backward_hooks)]
    try:
        yield
    finally:
        for hooks, kept in before:
            for key in hooks.keys() - kept:
                del hooks[key]


def use_fused_attention(block: SABlock) -> bool:
    """Let a block of MONAI compute by `scaled_dot_product_attention`; False where its result would be another.

    Of MONAI: the attributes ``use_flash_attention``, ``save_attn``, ``rel_positional_embedding`` and ``dropout_rate``
    of `SABlock`.
    Replaced by: an argument of `UNETR` and `ViT`, which hand `SABlock` all others of its own.
    """
    if block.save_attn or block.rel_positional_embedding is not None or block.dropout_rate != 0:
        return False
    block.use_flash_attention = True
    return True


def silence_gpu_decoder() -> None:
    """Keep MONAI from complaining of a GPU decoder that is absent.

    Its `LoadImage` makes all of its readers, whichever is asked for, and where pydicom is installed one of them
    complains. Scans are read by `CTReader`.

    Of MONAI: the name of the reader's logger and the words of its warning.
    Replaced by: a `LoadImage` that makes only the readers it is asked for.
    """
    import logging
    import warnings

    warnings.filterwarnings("ignore", message="NvImgCodecPydicomReader", category=UserWarning)
    logging.getLogger("monai.data.nvimgcodec_pydicom_plugin").setLevel(logging.ERROR)


def attached_handlers(engine: Engine, event: Any) -> list[Any]:
    """What an engine calls on an event, in this order: the object of a bound method, or the callable itself.

    Of Ignite: `Engine._event_handlers`, and ``_parent`` of a handler of an event with a filter.
    Replaced by: a public list of an engine's handlers.
    """
    functions = [entry[0] for entry in engine._event_handlers[event]]
    functions = [function._parent() if hasattr(function, "_parent") else function for function in functions]
    return [getattr(function, "__self__", function) for function in functions]


def close_bar(bar: ProgressBar) -> None:
    """End the line of a progress bar that shows, or the report of a failure would stand at the end of it.

    Of Ignite: `ProgressBar.pbar`.
    Replaced by: a `ProgressBar` that closes on ``EXCEPTION_RAISED``.
    """
    if bar.pbar is not None:
        bar.pbar.close()


def fire_value(text: str) -> Any:
    """A word of a command line as Fire, and so MONAI's command line, reads it: ``3`` an integer, ``[1,2]`` a list.

    Of Fire: ``fire.parser.DefaultParseValue``.
    Replaced by: a documented function of Fire, or a command line that is parsed by something else.
    """
    from fire.parser import DefaultParseValue

    return DefaultParseValue(text)


def fire_completion(commands: Any, *, program: str, shell: str) -> str:
    """A script by which a shell completes a program's commands and options; Fire knows ``bash`` and ``fish``.

    Of Fire: ``fire.completion.Script``, by itself behind ``-- --completion``.
    Replaced by: that option, once it writes the name that pip gave the program.
    """
    from fire.completion import Script

    return Script(program, commands, shell=shell)
