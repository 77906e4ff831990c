"""A MONAI Label server for tests: started as a user starts it, on a loopback port, and stopped with all it started."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

SECONDS_TO_START = 900
SECONDS_FOR_A_TASK = 1200


class LabelServer:
    """``python -m monai_cl monailabel …`` in a session of its own.

    Args:
        folder: where it runs and leaves its log.
        options: of the command.
        environment: variables beside those of this process.
        token: that the server asks for.
    """

    def __init__(
        self, folder: Path, *options: str, environment: Mapping[str, str] | None = None, token: str | None = None
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.log = folder / "server.log"
        # whatever would leave this machine goes to a port where nobody listens
        nowhere = {f"{scheme}_proxy": "http://127.0.0.1:9" for scheme in ("http", "https", "all")}
        nowhere |= {"no_proxy": "127.0.0.1", "MONAI_LABEL_SESSION_PATH": str(folder / "sessions")}
        variables = {**os.environ, **nowhere, "OMP_NUM_THREADS": "1", **(environment or {})}
        if token:
            variables["MONAI_CL_LABEL_TOKEN"] = token
        command = [sys.executable, "-m", "monai_cl", "monailabel", *options, "--port", str(self.port)]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command, cwd=folder, env=variables, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.client = httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}", timeout=600, trust_env=False, headers=headers
        )

    def wait(self) -> None:
        """Until it answers."""
        end = time.monotonic() + SECONDS_TO_START
        while time.monotonic() < end:
            assert self.process.poll() is None, self.tail()
            try:
                self.client.get("/info/", timeout=5)
                return
            except httpx.TransportError:
                time.sleep(0.5)
        raise AssertionError(f"no answer in {SECONDS_TO_START} s\n{self.tail()}")

    def tail(self) -> str:
        """The end of its log."""
        return self.log.read_text(encoding="utf-8", errors="replace")[-6000:]

    def get(self, path: str, **parameters: Any) -> Any:
        """JSON of a GET."""
        return self._json(self.client.get(path, params=parameters))

    def post(self, path: str, body: Mapping[str, Any] | None = None, **parameters: Any) -> Any:
        """JSON of a POST."""
        return self._json(self.client.post(path, json=body, params=parameters))

    def _json(self, response: httpx.Response) -> Any:
        assert response.status_code == 200, f"{response.status_code} {response.text}\n{self.tail()}"
        return response.json()

    def segment(self, model: str, image: str, file: Path) -> Path:
        """Run a model on a scan of the data store and save its label map."""
        response = self.client.post(f"/infer/{model}", params={"image": image, "output": "image"})
        assert response.status_code == 200, f"{response.status_code} {response.text}\n{self.tail()}"
        file.write_bytes(response.content)
        return file

    def submit(self, image: str, label: Path, info: list[dict[str, Any]]) -> Any:
        """Upload a finished label."""
        with label.open("rb") as stream:
            return self._json(
                self.client.put(
                    "/datastore/label",
                    params={"image": image},
                    data={"params": json.dumps({"label_info": info})},
                    files={"label": (label.name, stream)},
                )
            )

    def finished(self, kind: str) -> dict[str, Any]:
        """Wait for all background tasks (``train`` or ``scoring``) and return the last; it must have succeeded."""
        end = time.monotonic() + SECONDS_FOR_A_TASK
        while time.monotonic() < end:
            tasks = self.get(f"/{kind}/", all=True)
            if all(task["status"] not in ("SUBMITTED", "RUNNING") for task in tasks):
                assert tasks[-1]["status"] == "DONE", "\n".join(tasks[-1].get("details", [])) + self.tail()
                return tasks[-1]
            time.sleep(1)
        raise AssertionError(f"{kind} not done in {SECONDS_FOR_A_TASK} s\n{self.tail()}")

    def stop(self) -> int:
        """End it as Ctrl-C or a service manager would; then whatever is left of its session."""
        self.client.close()
        if self.process.returncode is not None:
            return self.process.returncode
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)  # a task it has started continues without it
        return self.process.returncode
