"""Training on the labels that were submitted, by the bundle's own ``train.yaml``."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monailabel.interfaces.datastore import Datastore, DefaultLabelTag
from monailabel.tasks.train.bundle import BundleTrainTask

from monai_cl.data.io.modality import CT, scales_of
from monai_cl.data.records.results import FILE_NAME, read_results
from monai_cl.engines.model_input import from_model
from monai_cl.errors import UserError
from monai_cl.serving.failure import failure_message, reported_error
from monai_cl.serving.guard.task_options import task_options
from monai_cl.serving.labelled_scans import labelled_scan, write_list
from monai_cl.serving.replacement import mean_dice_of, replace_if_as_good

logger = logging.getLogger(__name__)


class TrainingTask(BundleTrainTask):
    """Fine-tunes the app's model and puts the result in its place, where the next inference finds it, if it is as good.

    MONAI Label would replace the data of ``train#dataset#data``; these bundles prepare volumes from a data list, so the
    submitted labels become one. An epoch is ``epoch_length`` iterations. Every training is a separate run in
    ``models/training/<time>``, with ``results.json``, overlays and curves; ``pretrained`` starts from the app's model.
    What was measured of both models is in ``comparison.json`` there.
    """

    def config(self) -> dict[str, Any]:
        """MONAI Label's options without its tracking, and the length of an epoch."""
        options = {key: value for key, value in super().config().items() if "tracking" not in key and key != "run_id"}
        return {**options, "epoch_length": self.bundle_config["epoch_length"]}

    def stats(self) -> dict[str, Any]:
        """Of the last training, as 3D Slicer shows it: epochs, seconds, the best Dice."""
        files = sorted(Path(self.bundle_path).glob(f"models/training/*/{FILE_NAME}"))
        if not files:
            return {}
        results = read_results(files[-1])
        epochs = results["iterations"] // (results["config"].get("epoch_length") or self.bundle_config["epoch_length"])
        best = (results.get("best") or {}).get("mean_dice", 0)
        return {"epoch": epochs, "total_epochs": epochs, "total_time": results["wall_seconds"], "best_metric": best}

    def __call__(self, request: dict[str, Any], datastore: Datastore) -> dict[str, Any]:
        """Train, in a separate process that MONAI Label starts.

        Returns:
            see `replace_if_as_good`.

        Raises:
            UserError: no label yet, or one that is none; or what ended the training.
        """
        try:
            return self._train(request, datastore)
        except Exception as error:
            logger.exception("the training has failed")
            # the last lines of this process are what a client is shown
            raise UserError(failure_message(error)) from None

    def _train(self, request: dict[str, Any], datastore: Datastore) -> dict[str, Any]:
        # nothing else of a request: MONAI Label would take its texts into the config, where they are evaluated
        self.request = {**task_options("train", request), "model": request["model"], "tracking": ""}
        self.run = Path(self.bundle_path) / "models" / "training" / time.strftime("%Y%m%d-%H%M%S")
        self.run.mkdir(parents=True)
        self.start: str | None = None
        super().__call__(self.request, datastore)
        if not (self.run / FILE_NAME).is_file():
            raise UserError(self.run, found="the training did not finish", remedy="the server's log says why")
        return self._compare()

    def _compare(self) -> dict[str, Any]:
        """Measure the app's model on what the trained one was validated on, and decide which stays."""
        results, place = read_results(self.run), Path(self.bundle_path) / "models" / self.const.model_pytorch()
        cases = [case["id"] for case in results["metrics"]["per_case"]]
        before = None
        if place.is_file():
            overrides = {key: value for key, value in self.overrides.items() if key != "network"}
            before = mean_dice_of(place, config=self.bundle_config_path, overrides=overrides)
        trained = (results.get("best") or {}).get("mean_dice")
        return replace_if_as_good(self.run / "model.pt", place, mean_dice=trained, mean_dice_before=before, cases=cases)

    def _fetch_datalist(self, request: Mapping[str, Any], datastore: Datastore) -> list[dict[str, str]]:
        items = []
        for name in sorted(datastore.get_labeled_images()):
            label = datastore.get_label_by_image_id(name, DefaultLabelTag.FINAL)
            items.append(
                labelled_scan(
                    name,
                    datastore.get_image_uri(name),
                    datastore.get_label_uri(label, DefaultLabelTag.FINAL),
                    label_info=datastore.get_label_info(label, DefaultLabelTag.FINAL).get("label_info"),
                    organs=self._organs(),
                    folder=self.run / "labels",
                )
            )
        if not items:
            raise UserError("training", expected="submitted labels", found="none", remedy="submit one first")
        return items

    def _organs(self) -> list[str]:
        channels = self._metadata()["network_data_format"]["outputs"]["pred"]["channel_def"]
        return [channels[number] for number in sorted(channels, key=int)][1:]

    def _metadata(self) -> dict[str, Any]:
        from monai.bundle import ConfigParser

        return ConfigParser.load_config_file(self.bundle_metadata_path)

    def _modality(self) -> str | None:
        """Of scans that are not DICOM: as the app was made with, else the only one that its model knows."""
        from monai.bundle import ConfigParser

        config = Path(self.bundle_path) / "configs" / "inference.yaml"
        stated = str(ConfigParser.load_config_file(str(config)).get("modality") or "")
        model = Path(self.bundle_path) / "models" / self.const.model_pytorch()
        known = scales_of(from_model(model, "modality", CT))
        if stated and not stated.startswith("$"):
            return stated
        return next(iter(known)) if len(known) == 1 and CT not in known else None

    def _partition_datalist(self, datalist: list, request: Mapping[str, Any], shuffle: bool = False) -> tuple:
        training, validation = super()._partition_datalist(datalist, request, shuffle)
        return training, validation or []

    def _load_checkpoint(self, model_pytorch: str, pretrained: bool, train_handlers: list) -> None:
        """Not by MONAI's handler, which ignores what does not fit; see `_update_overrides`."""
        self.start = model_pytorch if pretrained and os.path.exists(model_pytorch) else None

    def _update_overrides(self, overrides: dict[str, Any]) -> dict[str, Any]:
        """What MONAI Label would set becomes what this project's ``train.yaml`` calls it."""
        training = overrides.pop(self.const.key_train_dataset_data())
        validation = overrides.pop(self.const.key_validate_dataset_data())
        epochs = int(overrides.pop(self.const.key_train_trainer_max_epochs()))
        del overrides[self.const.key_train_handlers()]
        length = int(self.request.get("epoch_length") or self.bundle_config["epoch_length"])
        data_list = self.run / "data_list.json"
        root = write_list(data_list, training, validation, organs=self._organs(), modality=self._modality())
        device = overrides[self.const.key_device()]
        interval = int(self.bundle_config["val_interval"])
        overrides.update(
            {
                self.const.key_device(): f"$torch.device({str(device)!r})",
                "dataset_dir": str(root),
                "data_list": str(data_list),
                "fold": "none",
                "label_fraction": 1.0,
                "store_dir": str(Path(self.bundle_path) / "store"),
                "output_dir": str(self.run),
                "resume": "none",
                "iterations": epochs * length,
                "epoch_length": length,
                "val_interval": interval if epochs % interval == 0 else 1,
            }
        )
        if not validation:
            logger.warning("too few labels to keep some for validation: Dice will be that of the training scans")
            overrides["validate#dataset_data"] = "@train#dataset_data"
        if self.start is not None:
            loaded = f"monai_cl.engines.load_network(@network_def, {self.start!r})"
            # an app of an earlier version names the network_def itself
            started = re.compile(r"@start\.network|@network_def")
            overrides["network"] = started.sub(lambda _: loaded, self.bundle_config["network"], count=1)
        self.overrides = dict(overrides)
        logger.info("training in %s: %d labelled scans, %d to validate on", self.run, len(training), len(validation))
        return overrides

    def _run_command(self, cmd: Sequence[str], env: Mapping[str, str]) -> None:
        """Run a training of several processes, whose end MONAI Label does not look at.

        Raises:
            UserError: it has failed; says what the process that failed first has reported.
        """
        process = subprocess.Popen(cmd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=dict(env))
        lines = []
        for line in process.stdout or ():
            print(line, end="", flush=True)
            lines.append(line.rstrip())
        if process.wait():
            raise UserError(reported_error(lines) or f"the training ended with status {process.returncode}")
