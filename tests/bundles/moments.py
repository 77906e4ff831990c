"""Code that brings a training to a chosen moment and holds it there until it is killed, or let go."""

from __future__ import annotations

from pathlib import Path

_PAUSE = """
import pathlib, time
def pause():
    pathlib.Path({flag!r}).touch()
    until = time.monotonic() + 600
    while not pathlib.Path({flag!r} + ".go").exists() and time.monotonic() < until:
        time.sleep(0.02)
def at(number, holder, name, *, before=lambda *a, **k: None, after=lambda *a, **k: None):
    '''Do something before or after the number-th call of a function.'''
    function, calls = getattr(holder, name), []
    def counting(*a, **k):
        calls.append(1)
        if len(calls) == number:
            before(*a, **k)
        result = function(*a, **k)
        if len(calls) == number:
            after(*a, **k)
        return result
    setattr(holder, name, counting)
    return function
"""

_MOMENTS = {
    # the optimiser is about to step / has changed the weights, and nothing else has been done yet
    "before the step": "import torch\nat({n}, torch.optim.AdamW, 'step', before=lambda *a: pause())",
    "after the step": "import torch\nat({n}, torch.optim.AdamW, 'step', after=lambda *a: pause())",
    # half of the bytes of a checkpoint or model.pt are on the disk
    "half written": """
import io, torch
def half(content, stream, *a, **k):
    buffer = io.BytesIO()
    save(content, buffer, *a, **k)
    stream.write(buffer.getvalue()[: len(buffer.getvalue()) // 2])
    stream.flush()
    pause()
save = at({n}, torch, "save", before=half)
""",
    "before the rename": """
import monai_cl.files as module
replace = module.os.replace
class weights: replace = staticmethod(replace)
at({n}, weights, "replace", before=lambda *a: pause())
module.os = type("os", (), dict(vars(module.os)))
module.os.replace = staticmethod(lambda old, new: (weights.replace if new.suffix == ".pt" else replace)(old, new))
""",
    "after the rename": """
import monai_cl.engines.checkpoints.checkpoint as module
at({n}, module, "save_atomically", after=lambda *a: pause())
""",
    "in a validation": """
import monai.engines
at({n}, monai.engines.SupervisedEvaluator, "_iteration", before=lambda *a: pause())
""",
    "before the results": """
import monai_cl.engines.handlers.recorder as module
at({n}, module, "write_results", before=lambda *a: pause())
""",
}


def held_at(moment: str, flag: Path, *, number: int = 1) -> str:
    """The prelude of a process (see `Launcher.start`) that is held the ``number``-th time it comes to a moment.

    It creates the file ``flag`` then, and continues when ``flag.go`` exists.
    """
    return _PAUSE.format(flag=str(flag)) + _MOMENTS[moment].format(n=number)
