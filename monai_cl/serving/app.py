"""The app: the bundles in ``model/`` as MONAI Label's inference, training, active learning and scoring tasks."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import monailabel
from monailabel.config import settings
from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.exception import MONAILabelError, MONAILabelException
from monailabel.interfaces.tasks.infer_v2 import InferTask
from monailabel.interfaces.tasks.scoring import ScoringMethod
from monailabel.interfaces.tasks.strategy import Strategy
from monailabel.interfaces.tasks.train import TrainTask
from monailabel.tasks.activelearning.epistemic import Epistemic
from monailabel.tasks.activelearning.first import First
from monailabel.tasks.scoring.epistemic_v2 import EpistemicScoring
from monailabel.utils.others.generic import get_bundle_models, strtobool

from monai_cl._version import __version__
from monai_cl.errors import UserError
from monai_cl.serving.app_folder import CLASSIFICATION, bundles_in, task_of, trainable
from monai_cl.serving.classification_task import ClassificationTask
from monai_cl.serving.failure import failure_message
from monai_cl.serving.segmentation_task import DropoutTask, SegmentationTask
from monai_cl.serving.strategies import RandomScan
from monai_cl.serving.studies import StudiesDatastore
from monai_cl.serving.training_task import TrainingTask

logger = logging.getLogger(__name__)


class BundleApp(MONAILabelApp):
    """Options (``--conf``): ``models`` (names separated by commas; default: all), ``preload``, ``skip_trainers``,
    ``uncertainty`` (serve scans by the entropy of ``uncertainty_passes`` passes with dropout of
    ``uncertainty_dropout``).

    Raises:
        UserError: a missing model, or one whose dropout is outside of (0, 1).
    """

    def __init__(self, app_dir: str, studies: str, conf: dict[str, str]) -> None:
        # MONAI Label's default source asks the model zoo before it looks at the folder
        conf = {"models": ",".join(bundles_in(app_dir)), **(conf or {}), "zoo_source": "local"}
        for name in conf["models"].split(","):
            if not (Path(app_dir) / "model" / name.strip() / "configs").is_dir():
                raise UserError(f"{app_dir}/model/{name.strip()}", expected="a bundle", found="none")
        self.bundles: dict[str, str] = get_bundle_models(app_dir, conf)
        super().__init__(
            app_dir=app_dir,
            studies=studies,
            conf=conf,
            name=f"monai_cl {__version__} (MONAI Label {monailabel.__version__})",
            description="Segmentation and classification of CT by bundles of monai_cl",
            version=__version__,
        )

    def _segmenting(self) -> dict[str, str]:
        return {name: path for name, path in self.bundles.items() if task_of(path) != CLASSIFICATION}

    def _asks(self, option: str) -> bool:
        return strtobool(self.conf.get(option, "false"))

    def init_datastore(self) -> Datastore:
        """The folder of scans; a DICOMweb server's is MONAI Label's."""
        if self.studies.startswith(("http://", "https://")):
            return super().init_datastore()
        return StudiesDatastore(
            self.studies,
            auto_reload=settings.MONAI_LABEL_DATASTORE_AUTO_RELOAD,
            read_only=settings.MONAI_LABEL_DATASTORE_READ_ONLY,
        )

    def infer(self, request: dict[str, Any], datastore: Datastore | None = None) -> dict[str, Any]:
        """Run a model; a failure says what it stems from.

        Raises:
            MONAILabelException: with that cause.
        """
        try:
            return super().infer(request, datastore)
        except MONAILabelException:
            raise
        except Exception as error:
            logger.exception("inference failed")
            raise MONAILabelException(MONAILabelError.INFERENCE_ERROR, failure_message(error)) from error

    def async_scoring(self, method: str | None, params: dict[str, Any] | None = None) -> dict[str, Any]:
        """Score again, in the background. The server does it, also when a training has ended, for only the server knows
        what is running; the process of a task asks for nothing."""
        return super().async_scoring(method, params) if self._server_mode else {}

    def init_infers(self) -> dict[str, InferTask]:
        """One task per bundle."""
        kinds = {
            name: ClassificationTask if task_of(path) == CLASSIFICATION else SegmentationTask
            for name, path in self.bundles.items()
        }
        return {name: kind(self.bundles[name], self.conf) for name, kind in kinds.items()}

    def init_trainers(self) -> dict[str, TrainTask]:
        """Segmentation bundles that take labelled scans alone are trained on the labels that were submitted."""
        if self._asks("skip_trainers"):
            return {}
        tasks = {name: TrainingTask(path, self.conf) for name, path in self._segmenting().items() if trainable(path)}
        return {name: task for name, task in tasks.items() if task.is_valid()}

    def init_strategies(self) -> dict[str, Strategy]:
        """``first``, ``random`` and, if asked for, ``uncertainty``: the highest entropy first."""
        strategies: dict[str, Strategy] = {"first": First(), "random": RandomScan()}
        if self._asks("uncertainty") and self._segmenting():
            strategies["uncertainty"] = Epistemic(desc="Get the scan the model is least certain about")
        return strategies

    def init_scoring_methods(self) -> dict[str, ScoringMethod]:
        """The entropy that ``uncertainty`` goes by; of the first segmentation bundle, because a scan has one score."""
        if not self._asks("uncertainty") or not self._segmenting():
            return {}
        name, path = next(iter(self._segmenting().items()))
        rate = float(self.conf.get("uncertainty_dropout", "0.2"))
        options: dict[str, Any] = {"simulation_size": int(self.conf.get("uncertainty_passes", "5"))}
        return {name: EpistemicScoring(DropoutTask(path, self.conf, rate=rate), **options)}
