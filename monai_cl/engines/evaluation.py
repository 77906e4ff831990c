"""Load a trained network and evaluate it: the last steps of ``evaluate.yaml`` and ``inference.yaml``."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ignite.engine import Engine
from torch import nn

from monai_cl.data.records.results import run_record, write_results
from monai_cl.engines.distributed.wrapping import unwrap_ddp
from monai_cl.engines.handlers.recorder import RunRecorder
from monai_cl.engines.launch.command_line import invocation
from monai_cl.engines.model_input import check_model
from monai_cl.errors import UserError, echo
from monai_cl.networks import ProjectedEncoder
from monai_cl.networks.earlier_names import current_names
from monai_cl.networks.foreign.names import bare_name, named_as
from monai_cl.networks.foreign.reading import read_weights
from monai_cl.networks.transfer import compare_weights
from monai_cl.networks.unet.semi_supervised import SliceUNet, unet_weights


def load_network(
    network: nn.Module,
    checkpoint: str | Path,
    *,
    ignore: tuple[str, ...] = (),
    model: Mapping[str, Any] | None = None,
) -> nn.Module:
    """Load all of a network's weights from ``model.pt`` or a run's checkpoint, and return it.

    Args:
        network: the network to fill, inside its DDP wrapper or not; changed in place.
        checkpoint: file with the weights: ``model.pt`` of a run, or one of its checkpoints.
        ignore: prefixes of the file's tensors that this network does not have, such as MixCL's projectors.
        model: ``preprocessing`` and ``organs`` of the run, compared with what the file says, see `check_model`.

    Raises:
        UserError: when the file is missing, damaged, of another architecture, or contradicts the run's settings; the
            message names what did not match.
    """
    check_model(checkpoint, {**(model or {}), "network": unwrap_ddp(network)})
    weights = {name: tensor for name, tensor in read_weights(checkpoint).items() if not name.startswith(ignore)}
    if isinstance(unwrap_ddp(network), ProjectedEncoder):
        weights = current_names(weights)
    if isinstance(unwrap_ddp(network), SliceUNet):
        weights = unet_weights(weights)
    own_weights = unwrap_ddp(network).state_dict()
    place = {bare_name(name): name for name in own_weights}
    weights = named_as(weights, place)
    report = compare_weights({name: own_weights[key] for name, key in place.items()}, weights)
    if not report.complete:
        wrong = [f"{name} missing" for name in report.missing] + [f"{name} unknown" for name in report.unknown]
        wrong += report.other_shape
        of_slices = any(name.startswith(("backbone.", "encoder.")) for name in place)
        options = (
            "method, backbone, width, neighbours, head_norm; of a clustering prototypes, embedding, heads"
            if of_slices
            else "patch_size, feature_size, hidden_size; organs or data_list"
        )
        raise UserError(
            f"{checkpoint}: does not fit this network: {', '.join(wrong[:3])}"
            + (f", … ({len(wrong)} in all)" if len(wrong) > 3 else "")
            + f"; use the network options ({options}) it was trained with"
        )
    unwrap_ddp(network).load_state_dict({place[name]: tensor for name, tensor in weights.items()})
    return network


def evaluation_name(folder: str | Path) -> str:
    """Name of an evaluation: that of the run whose folder contains its own.

    Args:
        folder: the evaluation's output folder, which lies in the run's.
    """
    return f"{Path(folder).resolve().parent.name} evaluation"


def evaluate(evaluator: Engine, recorder: RunRecorder) -> None:
    """Run an evaluator and write its ``results.json`` and overlays.

    Args:
        evaluator: the engine with its data, metrics and handlers.
        recorder: collects the results of ``evaluator`` and names the folder for the files.
    """
    recorder.attach_evaluation(evaluator)
    evaluator.run()
    if recorder.is_writer:
        write_results(recorder.output_dir / "results.json", recorder.results(evaluator))
    recorder.close()


def write_measures(
    measures: Mapping[str, float],
    *,
    output_dir: str | Path,
    started: float,
    more: Mapping[str, Any] | None = None,
    **about: Any,
) -> None:
    """Write the ``results.json`` of an evaluated pre-training, and print its measures.

    Args:
        measures: name -> value.
        output_dir: folder of the file.
        started: `time.monotonic` at the beginning.
        more: further entries of the record.
        **about: see `monai_cl.data.run_record`.
    """
    call = invocation()
    record = run_record(
        kind="pretraining",
        name=evaluation_name(output_dir),
        config=call.merged_config() if call else {},
        curves={name: [[0, value]] for name, value in measures.items()},
        wall_seconds=time.monotonic() - started,
        **about,
    )
    write_results(Path(output_dir) / "results.json", {**record, **(more or {})})
    for name, value in measures.items():
        echo(f"{name:28s} {value:.5f}")
