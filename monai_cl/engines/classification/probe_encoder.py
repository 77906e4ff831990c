"""A frozen encoder probed on a list: features, cross-validated AUC, and the classifier to deploy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from monai_cl.data import CTSlices, model_record, write_features
from monai_cl.engines.checkpoints.checkpoint import save_atomically
from monai_cl.engines.classification.network import set_probe
from monai_cl.engines.distributed.collectives import require_single_process
from monai_cl.engines.launch.command_line import invocation
from monai_cl.engines.pretrained import without_path
from monai_cl.engines.probe.extraction import extract_features
from monai_cl.engines.probe.folds import PatientFolds
from monai_cl.engines.probe.linear import LinearProbe
from monai_cl.engines.probe.patients import ProbeResult
from monai_cl.engines.probe.run import describe_probe, run_probe
from monai_cl.errors import UserError, echo
from monai_cl.networks import SliceEncoder, describe_network


def probe_encoder(
    network: SliceEncoder,
    slices: CTSlices,
    *,
    output_dir: str | Path,
    folds: PatientFolds,
    seed: int,
    about: Mapping[str, Any],
    data_list: Mapping[str, Any],
    device: torch.device,
    batch_size: int = 64,
    workers: int = 0,
    draw_roc: Callable[..., bytes] | None = None,
    draw_pca: Callable[..., bytes] | None = None,
    tensorboard: bool = False,
    model: Mapping[str, Any] | None = None,
    training_scans: Sequence[Mapping[str, Any]] | None = None,
    encoder: Mapping[str, Any] | None = None,
) -> ProbeResult:
    """Probe, and leave ``model.pt``: the encoder with the probe fitted on all patients as its head.

    Args:
        network: of `slice_classifier`; its head is replaced.
        slices: of every patient.
        output_dir: folder for ``features.npz``, what `run_probe` writes, and ``model.pt``.
        folds: of `patient_folds`.
        seed: of the probe.
        about: of `encoder_origin`.
        data_list: of `describe_slices`.
        device: where the encoder runs.
        batch_size: slices of one forward pass.
        workers: processes that load slices; 0: this process loads them.
        draw_roc: `monai_cl.report.roc_figure`, see `run_probe`; None: no picture.
        draw_pca: `monai_cl.report.pca_figure`, see `run_probe`; None: no picture.
        tensorboard: configs of version 0.1.0 pass False; the embedding projector is gone.
        model: ``preprocessing`` of the model's record; None: ``model.pt`` carries no record.
        training_scans: of the model's record, see `monai_cl.engines.RunRecorder`.
        encoder: of `monai_cl.engines.start_from`; None: one that was not pre-trained.

    Raises:
        UserError: what `run_probe` refuses, several processes, or ``tensorboard``.
    """
    if tensorboard:
        raise UserError(
            "tensorboard", expected="False", found="True", remedy="the embedding projector is gone, pca.png is drawn"
        )
    require_single_process("the probe")
    output_dir = Path(output_dir)
    note = {"cohort": data_list["name"], **about, "data_list": dict(data_list)}
    features = extract_features(
        network, slices, device=device, batch_size=batch_size, workers=workers, about=note, progress=True
    )
    write_features(output_dir / "features.npz", features)
    call = invocation()
    result = run_probe(
        features,
        output_dir,
        folds=folds,
        seed=seed,
        bundle="cirrhosis_classification",
        config=call.merged_config() if call else {},
        draw_roc=draw_roc,
        draw_pca=draw_pca,
        encoder=encoder,
    )
    set_probe(network, LinearProbe.load(output_dir / "probe.npz"))
    record = None
    if model is not None:
        record = model_record(
            kind="classification",
            bundle="cirrhosis_classification",
            method=note.get("method"),
            network=describe_network(network),
            preprocessing=model.get("preprocessing"),
            data_list=data_list,
            scans=training_scans,
            iterations=0,
            seed=seed,
            encoder=without_path(encoder),
        )
    save_atomically(network.state_dict(), output_dir / "model.pt", record)
    echo(describe_probe(result.metrics(), data_list))
    return result
