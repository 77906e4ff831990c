"""MONAI's exports of what trainings leave: shapes as the metadata say, TorchScript and ONNX as the network.

Everything by MONAI's own commands, on the ``model.pt`` of a run as it is.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.bundle import ConfigParser, onnx_export
from monai.data import load_net_with_metadata

from monai_cl.data import read_results
from monai_cl.engines import load_classifier, load_network
from monai_cl.networks import load_slice_encoder
from tests.bundles.cine_runs import NETWORK as SMALL_UNET
from tests.bundles.conftest import BUNDLES, NETWORK, ORGANS, PRETRAINING, SPLEEN, config_files, words
from tests.bundles.slice_runs import CLASSIFICATION, SLICE_NETWORK
from tests.bundles.slice_runs import PRETRAINING as SLICES

META_LABELS, FEW_LABELS = "meta_label_pretraining", "semi_supervised_segmentation"
ALL = (PRETRAINING, SPLEEN, ORGANS, SLICES, CLASSIFICATION, META_LABELS, FEW_LABELS)
FORMAT = "_meta_#network_data_format"
# torch's exporter to ONNX warns of its own internals
pytestmark = pytest.mark.filterwarnings("default")


@dataclass(frozen=True)
class Trained:
    """A run's folder, what made its network small, and that network, loaded by our own hand."""

    folder: Path
    options: dict[str, Any] = field(repr=False)
    network: torch.nn.Module = field(repr=False)
    shape: tuple[int, ...]

    @property
    def image(self) -> torch.Tensor:
        return torch.rand(self.shape, generator=torch.Generator().manual_seed(1))

    @property
    def expected(self) -> torch.Tensor:
        with torch.no_grad():
            return self.network.eval()(self.image)


@pytest.fixture(scope="module")
def cine_runs(cine_run, tmp_path_factory) -> Callable[[str], Path]:
    """``cine_runs(bundle)``: a finished run on slices of the cine, made once."""
    made: dict[str, Path] = {}

    def run(bundle: str) -> Path:
        if bundle not in made:
            made[bundle] = tmp_path_factory.mktemp("runs") / bundle
            cine_run(bundle, "train", output_dir=str(made[bundle]), scans_per_batch=2)
        return made[bundle]

    return run


@pytest.fixture(scope="module")
def trained(pretraining, spleen, organs, wsp, probe, cine_runs) -> Callable[[str], Trained]:
    """The network of a bundle's inference with the weights of a finished run."""
    runs = {PRETRAINING: pretraining, SPLEEN: spleen, ORGANS: organs, SLICES: wsp, CLASSIFICATION: probe}
    spare = ("projectors.", "segmentation_head.")
    load = {SLICES: load_slice_encoder, META_LABELS: load_slice_encoder, CLASSIFICATION: load_classifier}

    def of(bundle: str) -> Trained:
        folder = cine_runs(bundle) if bundle in (META_LABELS, FEW_LABELS) else runs[bundle]
        if bundle in (META_LABELS, FEW_LABELS):
            sides, options = [SMALL_UNET["image_size"]] * 2, dict(SMALL_UNET)
        elif bundle in (SLICES, CLASSIFICATION):
            sides, options = [SLICE_NETWORK["image_size"]] * 2, dict(SLICE_NETWORK)
        else:
            sides, options = NETWORK["patch_size"], dict(NETWORK)
        meta = {f"{FORMAT}#inputs#image#spatial_shape": sides}
        if bundle == ORGANS:
            labels = read_results(organs)["data_list"]["datasets"]["synthetic_target"]["labels"]
            options["organs"], meta[f"{FORMAT}#outputs#pred#num_channels"] = labels[1:], len(labels)
        if bundle == SLICES:
            meta[f"{FORMAT}#outputs#pred#num_channels"] = 32  # 256 at width 1
        if bundle == META_LABELS:
            meta[f"{FORMAT}#outputs#pred#num_channels"] = SMALL_UNET["features"][4]
        parser = ConfigParser(ConfigParser.load_config_files(config_files(bundle, "inference")))
        parser.update(options)
        network, file = parser.get_parsed_content("network_def"), folder / "model.pt"
        if bundle in load:
            load[bundle](network, file)
        else:
            load_network(network, file, ignore=spare if bundle == PRETRAINING else ())
        return Trained(folder, {**options, **meta}, network, (1, 1, *sides))

    return of


@pytest.fixture
def files(trained) -> Callable[[str], dict[str, str]]:
    def of(bundle: str) -> dict[str, str]:
        configs = BUNDLES / bundle / "configs"
        return {"meta_file": str(configs / "metadata.json"), "config_file": str(configs / "inference.yaml")}

    return of


@pytest.mark.parametrize("bundle", ALL)
def test_the_network_takes_and_gives_what_the_metadata_say(launcher, trained, files, bundle, tmp_path):
    options = words({"net_id": "network_def", **files(bundle), **trained(bundle).options})
    done = launcher.run("monai.bundle", "verify_net_in_out", *options, cwd=tmp_path).check()
    assert "data shape of network is verified with no error" in done.out + done.err


def test_metadata_that_say_otherwise_are_noticed(launcher, trained, files, tmp_path):
    wrong = {**trained(SPLEEN).options, f"{FORMAT}#outputs#pred#num_channels": 3}
    options = words({"net_id": "network_def", **files(SPLEEN), **wrong})
    done = launcher.run("monai.bundle", "verify_net_in_out", *options, cwd=tmp_path)
    assert done.status != 0
    assert "output channel number `2` doesn't match: `3`" in done.last_error_line


@pytest.mark.parametrize("bundle", ALL)
def test_torchscript_is_the_network_and_carries_metadata_and_config(launcher, trained, files, bundle, tmp_path):
    run = trained(bundle)
    names = {"net_id": "network_def", "ckpt_file": str(run.folder / "model.pt"), "filepath": "model.ts"}
    launcher.run("monai.bundle", "ckpt_export", *words({**names, **files(bundle), **run.options}), cwd=tmp_path).check()
    network, meta, extra = load_net_with_metadata(str(tmp_path / "model.ts"), more_extra_files=("inference.json",))
    with torch.no_grad():
        assert torch.equal(network(run.image), run.expected)
    given = json.loads((BUNDLES / bundle / "configs" / "metadata.json").read_text(encoding="utf-8"))
    assert (meta["version"], meta["task"]) == (given["version"], given["task"])
    assert json.loads(extra["inference.json"])["network_def"]["_target_"]


@pytest.mark.parametrize("bundle", [PRETRAINING, SPLEEN, SLICES, META_LABELS, FEW_LABELS])
def test_a_checkpoint_of_a_training_is_exported_as_well(launcher, trained, files, bundle, tmp_path):
    run = trained(bundle)
    (file,) = run.folder.glob("checkpoint_iteration=4.pt")
    names = {"net_id": "network_def", "ckpt_file": str(file), "key_in_ckpt": "network", "filepath": "model.ts"}
    launcher.run("monai.bundle", "ckpt_export", *words({**names, **files(bundle), **run.options}), cwd=tmp_path).check()
    network = torch.jit.load(tmp_path / "model.ts")
    with torch.no_grad():
        assert network(run.image).shape == run.expected.shape


@pytest.mark.parametrize(
    "bundle",
    [
        SPLEEN,
        SLICES,
        CLASSIFICATION,
        META_LABELS,
        *(pytest.param(bundle, marks=pytest.mark.slow) for bundle in (PRETRAINING, FEW_LABELS, ORGANS)),
    ],
)
def test_onnx_computes_what_torch_computes(trained, files, bundle, tmp_path):
    reason = "ONNX needs onnx, onnxscript and onnxruntime: pip install 'monai-cl[export]'"
    onnx = pytest.importorskip("onnx", reason=reason)
    pytest.importorskip("onnxscript", reason=reason)
    onnxruntime = pytest.importorskip("onnxruntime", reason=reason)
    run, file = trained(bundle), tmp_path / "model.onnx"
    names = {"net_id": "network_def", "ckpt_file": str(run.folder / "model.pt"), "filepath": str(file)}
    onnx_export(**names, **files(bundle), **run.options)
    onnx.checker.check_model(str(file), full_check=True)
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {session.get_inputs()[0].name: run.image.numpy()})
    expected = run.expected.numpy()
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    assert found == pytest.approx(expected, rel=1e-4, abs=1e-5 * float(abs(expected).max()))
