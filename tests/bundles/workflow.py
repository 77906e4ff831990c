"""A run of a bundle in this process, where a process of its own shows nothing more; what such tests compare."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from monai.bundle import ConfigWorkflow

from monai_cl.engines.launch.error_report import user_error_in
from tests.bundles.torchrun import Agents

BUNDLES = Path(__file__).resolve().parents[2] / "bundles"


def words(options: dict[str, object]) -> list[str]:
    """Options as MONAI's command line takes them."""
    texts = {
        # Fire reads True and False, and takes true and false for words
        key: str(value) if isinstance(value, (str, bool)) else json.dumps(value)
        for key, value in options.items()
    }
    return [word for key, text in texts.items() for word in (f"--{key}", text if text != "null" else "None")]


def config_files(bundle: str, *names: str) -> list[str]:
    """Paths of a bundle's config files."""
    return [str(BUNDLES / bundle / "configs" / f"{name}.yaml") for name in names]


def run_workflow(bundle: str, *names: str, **options: object) -> ConfigWorkflow:
    """Run a bundle's config with its overlays, in one thread; the first says whether it trains."""
    return run_files(*config_files(bundle, *names), **options)


def run_files(*files: str, **options: object) -> ConfigWorkflow:
    """Run config files, of which the first is called ``train.yaml`` where it trains."""
    kind = "train" if Path(files[0]).stem == "train" else "infer"
    made = ConfigWorkflow(config_file=list(files), logging_file=False, workflow_type=kind, **options)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        made.initialize()
        made.run()
        made.finalize()
    finally:
        torch.set_num_threads(threads)
    return made


def initialised(bundle: str, *names: str, **options: object) -> ConfigWorkflow:
    """A workflow as MONAI's tools make it: not run, with the bundle's metadata."""
    made = ConfigWorkflow(
        config_file=config_files(bundle, *names),
        meta_file=str(BUNDLES / bundle / "configs" / "metadata.json"),
        logging_file=False,
        workflow_type="train" if names[0] == "train" else "infer",
        **options,
    )
    made.initialize()
    return made


def weights(folder: Path, name: str = "model.pt") -> dict[str, torch.Tensor]:
    """The state dict that a run has written."""
    return torch.load(folder / name, weights_only=True)


def assert_equal(
    one: dict[str, torch.Tensor], other: dict[str, torch.Tensor], *, atol: float = 0.0, rtol: float = 0.0
) -> None:
    """The same tensors under the same names."""
    torch.testing.assert_close(one, other, atol=atol, rtol=rtol)


def refusal(caught: pytest.ExceptionInfo) -> str:
    """The text of the `UserError` behind what MONAI makes of it."""
    error = user_error_in(caught.value)
    assert error is not None, caught.value
    return str(error)


def made_once(train: Callable[..., object], factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """``trained(method)``: the folder of ``train(method=…, output_dir=…)``, which runs once. Look, do not touch."""
    made: dict[str, Path] = {}

    def trained(method: str) -> Path:
        if method not in made:
            folder = factory.mktemp(method) / method
            train(method=method, output_dir=str(folder))
            made[method] = folder
        return made[method]

    return trained


def plain_descent(bundle: str, folder: Path) -> str:
    """A file ``train.yaml`` with the bundle's training by plain gradient descent, which does not magnify rounding."""
    document = yaml.safe_load((BUNDLES / bundle / "configs" / "train.yaml").read_text(encoding="utf-8"))
    del document["optimizer"]["decoupled_weight_decay"]
    document["optimizer"]["_target_"] = "torch.optim.SGD"
    document["bundle_root"] = str(BUNDLES / bundle)
    file = folder / "train.yaml"
    file.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    return str(file)


def learnt_by_two(files: list[str], options: dict[str, object], folder: Path, port: int) -> dict[str, torch.Tensor]:
    """The weights of a training by two processes, which writes to ``folder``."""
    given = {key: value for key, value in options.items() if key != "device"}
    chosen = words({**given, "output_dir": str(folder)})
    (done,) = Agents(["--config_file", str(files), *chosen], folder.with_name("cwd"), port).wait()
    done.check()
    return weights(folder)
