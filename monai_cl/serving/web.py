"""The web application that the server runs: MONAI Label's, behind a `Guard`."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from typing import Any

import monailabel.utils.async_tasks.task as async_task
import torch
from fastapi import Request
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse
from monailabel.app import app as label_app
from monailabel.config import settings
from monailabel.datastore.local import LocalDatastore
from monailabel.interfaces.exception import (
    ImageNotFoundException,
    LabelNotFoundException,
    MONAILabelError,
    MONAILabelException,
)
from monailabel.interfaces.tasks.infer_v2 import InferType
from monailabel.interfaces.utils.app import app_instance
from monailabel.utils.async_tasks.utils import run_background_task, tasks
from monailabel.utils.others.generic import device_map

from monai_cl.errors import UserError
from monai_cl.serving.guard.application import Guard
from monai_cl.serving.guard.origins import ServerAddress
from monai_cl.serving.interpreter import HOST_VARIABLE, TOKEN_VARIABLE

_SESSION = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class AppNames:
    """What the app that is being served knows by name."""

    @property
    def devices(self) -> tuple[str, ...]:
        numbered = [f"cuda:{number}" for number in range(torch.cuda.device_count())]
        return ("cpu", "cuda", *numbered, *(name for name in device_map() if name != "cpu"))

    def known(self, kind: str, name: str) -> bool:
        app = app_instance()
        if kind == "image":
            store = app.datastore()
            # whether a DICOMweb server has a scan is for it to say
            return bool(store.get_image_uri(name)) if isinstance(store, LocalDatastore) else True
        if kind == "session_id":
            is_session = _SESSION.fullmatch(name) and app.sessions()
            return bool(is_session and is_session.get_session(name, update_ts=False))
        tasks = {
            "model": app._infers,
            "trainer": app._trainers,
            "strategy": app._strategies,
            "method": app._scoring_methods,
        }
        return name in tasks[kind]

    def has_label(self, image: str, tag: str) -> bool:
        return bool(app_instance().datastore().get_label_uri(image, tag))

    def refusal(self, path: str, model: str, output: str) -> str | None:
        app = app_instance()
        if path == "/logs/gpu" and shutil.which("nvidia-smi") is None:
            return "this machine has no nvidia-smi"
        if output == "dicom_seg" and isinstance(app.datastore(), LocalDatastore):
            return "dicom_seg: the scans are no DICOM here; ask for output=image"
        task = app._infers.get(model)
        if output == "image" and task is not None and task.type == InferType.CLASSIFICATION:
            return f"{model}: answers with classes, not with an image; ask for output=json"
        return None


def _start_task(request: dict[str, Any], method: str, callback: Callable | None = None, debug: bool = False) -> Any:
    """MONAI Label's start of a task. Where a training ends, scores are computed again; a scoring that has yet to begin
    is not put into the queue again."""
    waiting = (task for task in tasks(method) if task["status"] == "SUBMITTED" and task["request"] == request)
    if method == "scoring" and (task := next(waiting, None)):
        return task

    def ended(task: dict[str, Any]) -> None:
        if callback is not None:
            callback(task)
        if method == "train" and settings.MONAI_LABEL_AUTO_UPDATE_SCORING:
            app_instance().async_scoring(None)

    return run_background_task(request, method, ended, debug)


async def _failed(request: Request, error: Exception) -> JSONResponse:
    """An error that MONAI Label would call a failure of the server (500), by what it is."""
    if isinstance(error, MONAILabelException):
        absent = isinstance(error, (ImageNotFoundException, LabelNotFoundException))
        status = 404 if absent or error.error == MONAILabelError.INVALID_INPUT else 422
        return JSONResponse({"detail": str(error.msg)}, status)
    return JSONResponse({"detail": str(error)}, 422)


async_task.run_background_task = _start_task
# MONAI Label lets every web page read what it answers; its setting for fewer origins stops it at its start
label_app.user_middleware[:] = [entry for entry in label_app.user_middleware if entry.cls is not CORSMiddleware]
label_app.add_exception_handler(MONAILabelException, _failed)
label_app.add_exception_handler(UserError, _failed)
app = Guard(
    label_app,
    address=ServerAddress(os.environ.get(HOST_VARIABLE, "127.0.0.1"), settings.MONAI_LABEL_SERVER_PORT),
    names=AppNames(),
    token=os.environ.get(TOKEN_VARIABLE) or None,
)
