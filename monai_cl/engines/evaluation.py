"""Load a trained network and evaluate it: the last steps of ``evaluate.yaml`` and ``inference.yaml``."""

from __future__ import annotations

from pathlib import Path

from ignite.engine import Engine
from torch import nn

from monai_cl.data.results import write_results
from monai_cl.engines.recorder import RunRecorder
from monai_cl.errors import UserError
from monai_cl.networks.transfer import read_weights


def load_network(network: nn.Module, checkpoint: str | Path) -> None:
    """Load all of a network's weights from ``model.pt`` or a run's checkpoint.

    Raises:
        UserError: when the file is missing, damaged or of another architecture; names what did not match.
    """
    weights = read_weights(checkpoint)
    bare = network.module if isinstance(network, nn.parallel.DistributedDataParallel) else network
    own = bare.state_dict()
    wrong = [f"{k} missing" for k in own if k not in weights]
    wrong += [f"{k} unknown" for k in weights if k not in own]
    wrong += [
        f"{k} {tuple(weights[k].shape)} for {tuple(own[k].shape)}"
        for k in own
        if k in weights and weights[k].shape != own[k].shape
    ]
    if wrong:
        raise UserError(
            f"{checkpoint}: does not fit this network: {', '.join(wrong[:3])}"
            + (f", … ({len(wrong)} in all)" if len(wrong) > 3 else "")
            + "; use the network options (patch_size, feature_size, hidden_size, data_list) it was trained with"
        )
    bare.load_state_dict(weights)


def evaluate(evaluator: Engine, recorder: RunRecorder) -> None:
    """Run an evaluator and write its ``results.json`` and overlays."""
    recorder.attach_evaluation(evaluator)
    evaluator.run()
    if recorder.is_writer:
        write_results(recorder.output_dir / "results.json", recorder.results(evaluator))
    recorder.close()
