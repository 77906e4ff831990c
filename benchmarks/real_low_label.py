"""Does pre-training gain on real CT, with one labelled case? Scratch against every MixCL preset.

Three real data sets with three label sets pre-train a UNETR: LIDC-IDRI-0001 (spleen, kidneys, liver, pancreas), a
TotalSegmentator case (gallbladder, stomach, aorta, vena cava, adrenal glands) and six sarcoma patients (tumour only).
Each encoder, and none ("scratch"), is fine-tuned on BTCV 0035 and tested on 0036 and 0037 with all 13 organs, in the
original image space. Every piece is a run of the project's own bundles, so it is what a user gets.

    python benchmarks/real_low_label.py run   --data /data/real_ct --output runs/real          # a GPU, the paper's size
    python benchmarks/real_low_label.py run   --data /data/real_ct --output runs/real --jobs 4 --minutes 9
    python benchmarks/real_low_label.py run   --data /data/real_ct --output runs/small --small # a CPU, hours
    python benchmarks/real_low_label.py table --output runs/real

A seed changes weights, patches and views; decoders of one seed start alike whatever the encoder, hence the pairing.
What is finished is not run again, and what was killed continues from its checkpoint. `real_lists.py` says which folder
of data is expected.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from low_label_gain import PRESETS
from provenance import machine
from real_lists import write_lists
from real_tables import write_tables

from monai_cl.data import Preparation, load_data_list, prepare
from monai_cl.files import write_atomically

BUNDLES = Path(__file__).resolve().parents[1] / "bundles"
SCRATCH = "scratch"


@dataclass(frozen=True)
class Study:
    """Everything that is the same for all methods; the defaults are the paper's."""

    spacing: tuple[float, ...] = (1.5, 1.5, 2.0)  # mm
    patch: int = 96
    network: dict[str, int] = field(
        default_factory=lambda: {"feature_size": 16, "hidden_size": 768, "mlp_dim": 3072, "num_heads": 12}
    )
    mu: float = 8.0  # Eq. 7, in voxels
    pretrain_steps: int = 1000
    pretrain_lr: float = 1e-4
    pretrain_batch: int = 1
    balance: str = "datasets"  # "cases" would take three of four patches from the six sarcomas
    finetune_steps: int = 2000
    finetune_lr: float = 1e-4
    finetune_batch: int = 2
    encoder_factor: float = 0.1  # a pre-trained encoder's learning rate over that of the rest

    @classmethod
    def small(cls) -> Study:
        """For a CPU: a UNETR of a fortieth of the size on coarse voxels, with the learning rates that suit it."""
        network = {"feature_size": 8, "hidden_size": 48, "mlp_dim": 96, "num_heads": 4}
        return cls(
            spacing=(5.0, 5.0, 5.0), patch=32, network=network, mu=2.4, pretrain_steps=600, pretrain_lr=1e-3,
            finetune_steps=400, finetune_lr=3e-3,
        )  # fmt: skip

    def shared(self) -> dict[str, object]:
        """Options that both bundles get."""
        return {"spacing": list(self.spacing), "patch_size": [self.patch] * 3, **self.network}


class OutOfTime(Exception):
    """The time given on the command line is over; unfinished work continues in another run."""


class Runner:
    """Runs the pieces of a study in a folder, several at once.

    Args:
        folder: of the study.
        data: of the real CT.
        jobs: pieces at once.
        workers: loader processes of each.
        minutes: stop (and kill what runs) after so many; None: when all is done.
    """

    def __init__(
        self, folder: Path, data: Path, study: Study, *, jobs: int, workers: int, minutes: float | None
    ) -> None:
        self.folder, self.data, self.study = folder.resolve(), data.resolve(), study
        self.jobs, self.workers = jobs, workers
        self.end = None if minutes is None else time.monotonic() + 60 * minutes
        self._printing = threading.Lock()
        self._keep_to_one_study()
        self.lists = write_lists(self.folder / "lists")

    def _keep_to_one_study(self) -> None:
        path, text = self.folder / "study.json", json.dumps(asdict(self.study), indent=1)
        if path.is_file() and json.loads(path.read_text(encoding="utf-8")) != json.loads(text):
            sys.exit(f"{path}: another study lies here; give its options again, or another --output")
        write_atomically(path, text.encode())
        write_atomically(self.folder / "machine.json", json.dumps(machine() | _accelerator(), indent=1).encode())

    def run(self, methods: list[str], seeds: list[int]) -> None:
        """Every method with every seed."""
        lists = [load_data_list(path, data_root=self.data) for path in self.lists.values()]
        # all volumes before the first piece: pieces that run side by side would wait for each other
        items = [item for data_list in lists for item in data_list.items()]
        prepare(items, self.folder / "store", Preparation(spacing=self.study.spacing), workers=min(4, _cores()))
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.stop)
        self.say(f"{len(methods)} methods, {len(seeds)} seeds, {self.jobs} at once")
        with ThreadPoolExecutor(max_workers=self.jobs) as pool:
            chains = [pool.submit(self.chain, method, seed) for seed in seeds for method in methods]
            errors = [error for chain in chains if (error := chain.exception()) is not None]
        for error in errors:
            self.say(str(error))
        if errors:
            sys.exit(1)

    def chain(self, method: str, seed: int) -> None:
        """Pre-training, its encoder, fine-tuning and evaluation."""
        encoder = None
        if method != SCRATCH:
            encoder = self.folder / "encoders" / f"{method}-{seed}.pt"
            if not encoder.is_file():
                self.pretrain(method, seed, encoder)
        output = self.folder / "finetuning" / f"{method}-{seed}"
        if (output / "results.json").is_file():
            return
        study, start = self.study, {"pretrained_encoder": str(encoder)} if encoder else {}
        if encoder:
            start["encoder_learning_rate_factor"] = study.encoder_factor
        self.bundle(
            "btcv_unetr_segmentation", output, self.lists["target"], seed, study.finetune_steps,
            learning_rate=study.finetune_lr, batch_size=study.finetune_batch, fold=0, overlay_cases=0, **start,
        )  # fmt: skip
        self.tidy(output)

    def pretrain(self, method: str, seed: int, encoder: Path) -> None:
        """The bundle's pre-training with a preset, and its encoder."""
        study, output = self.study, self.folder / "pretraining" / f"{method}-{seed}"
        if not (output / "results.json").is_file():
            balance = {"train#dataset#balance": study.balance}
            self.bundle(
                "mixcl_ct_pretraining", output, self.lists["pretraining"], seed, study.pretrain_steps,
                learning_rate=study.pretrain_lr, batch_size=study.pretrain_batch, preset=method, mu=study.mu, **balance,
            )  # fmt: skip
        encoder.parent.mkdir(exist_ok=True)
        words = [sys.executable, "-m", "monai_cl", "export_encoder", str(output / "model.pt"), "--output", str(encoder)]
        self.execute(words, self.folder / "logs" / f"export-{encoder.stem}.log")
        self.tidy(output)

    def bundle(self, name: str, output: Path, data_list: Path, seed: int, steps: int, **options: object) -> None:
        """``python -m monai.bundle run``; four checkpoints on the way, one validation at the end."""
        saves = next(n for n in (4, 3, 2, 1) if steps % n == 0)
        options |= {"iterations": steps, "epoch_length": steps // saves, "num_workers": self.workers, "seed": seed}
        if name != "mixcl_ct_pretraining":
            options["val_interval"] = saves  # no choice of a best model on the test cases
        paths = {"dataset_dir": self.data, "data_list": data_list, "output_dir": output}
        options |= {"store_dir": self.folder / "store", **self.study.shared(), **paths}
        words = ["-m", "monai.bundle", "run", "--config_file", str(BUNDLES / name / "configs" / "train.yaml")]
        for key, value in options.items():
            words += [f"--{key}", json.dumps(value) if isinstance(value, (list, dict)) else str(value)]
        self.execute([sys.executable, *words], self.folder / "logs" / f"{output.parent.name}-{output.name}.log")

    def execute(self, words: list[str], log: Path) -> None:
        """Run a command to its end, or to the end of the time."""
        if self.is_over():
            raise OutOfTime(f"{log.stem}: no time left; run again to continue")
        log.parent.mkdir(exist_ok=True)
        begin = time.monotonic()
        environment = {"OMP_NUM_THREADS": str(max(1, _cores() // self.jobs)), **os.environ}
        with log.open("a", encoding="utf-8") as stream:
            print(shlex.join(words), file=stream, flush=True)
            process = subprocess.Popen(words, stdout=stream, stderr=subprocess.STDOUT, env=environment)
            try:
                while (status := process.poll()) is None and not self.is_over():
                    time.sleep(0.2)
            finally:
                process.terminate()
                process.wait()
        if status is None or (status < 0 and self.is_over()):
            raise OutOfTime(f"{log.stem}: stopped; run again to continue from its checkpoint")
        if status:
            tail = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1]
            raise RuntimeError(f"{log.stem} ended with status {status}: {tail} (whole log: {log})")
        self.say(f"{log.stem}: {time.monotonic() - begin:.0f} s")

    def is_over(self) -> bool:
        """Whether the time is over, or the study was stopped."""
        return self.end is not None and time.monotonic() > self.end

    def stop(self, *_: object) -> None:
        """On a signal: end what runs, start nothing more."""
        self.end = 0.0

    @staticmethod
    def tidy(output: Path) -> None:
        """Weights and optimiser states of a finished piece: gigabytes that are not read again."""
        for path in output.glob("*.pt"):
            path.unlink()

    def say(self, text: str) -> None:
        """A line, whole, whoever else prints."""
        with self._printing:
            print(text, flush=True)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _accelerator() -> dict[str, str]:
    import torch

    return {"accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else "none"}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("run", "table"))
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=os.environ.get("MONAI_CL_REAL_DATA"))
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(6)))
    parser.add_argument("--methods", nargs="+", default=[SCRATCH, *PRESETS], choices=[SCRATCH, *PRESETS])
    parser.add_argument("--small", action="store_true", help="the size for a CPU instead of the paper's")
    parser.add_argument("--jobs", type=int, default=1, help="pieces at once")
    parser.add_argument("--workers", type=int, default=0, help="loader processes of a piece")
    parser.add_argument("--minutes", type=float, help="stop after so many")
    numbers = {name: value for name, value in asdict(Study()).items() if isinstance(value, (int, float))}
    for name, value in numbers.items():
        parser.add_argument(f"--{name}", type=type(value))
    parser.add_argument("--spacing", type=float, nargs=3, help="mm")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    if options.what == "run":
        if options.data is None:
            parser.error("--data (or MONAI_CL_REAL_DATA): the folder of real CT")
        given = {name: getattr(options, name) for name in numbers if getattr(options, name) is not None}
        given |= {"spacing": tuple(options.spacing)} if options.spacing else {}
        study = replace(Study.small() if options.small else Study(), **given)
        runner = Runner(
            options.output, options.data, study, jobs=options.jobs, workers=options.workers, minutes=options.minutes
        )
        try:
            runner.run(options.methods, options.seeds)
        finally:
            write_atomically(options.output / "command.txt", shlex.join(["python", *sys.argv]).encode())
    print(f"wrote {write_tables(options.output)}")


if __name__ == "__main__":
    main()
