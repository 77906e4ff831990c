"""The interpreter of MONAI Label's environment, and the command that starts the server with it."""

from __future__ import annotations

import errno
import json
import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from monai_cl.errors import UserError
from monai_cl.serving.guard.origins import is_loopback

FOLDER = ".venv-monailabel"
# how `monai_cl.serving.web` gets it, because every user of the machine can see a command line
HOST_VARIABLE, TOKEN_VARIABLE = "MONAI_CL_LABEL_HOST", "MONAI_CL_LABEL_TOKEN"
SHORTEST_TOKEN = 16
_PROBE = """
import importlib.metadata, importlib.util, json
found = {"monai_cl": importlib.util.find_spec("monai_cl") is not None, "monailabel": None}
try: found["monailabel"] = importlib.metadata.version("monailabel")
except importlib.metadata.PackageNotFoundError: pass
print(json.dumps(found))
"""


def find_interpreter(python: str | os.PathLike | None = None) -> Path:
    """The interpreter that has MONAI Label.

    Args:
        python: its file; None: looked for in ``.venv-monailabel`` of the current folder and of this checkout.

    Raises:
        UserError: there is none, it does not start, or MONAI Label or this package is not installed in it.
    """
    # not resolved: a virtual environment is identified by the path of its interpreter
    if python is not None:
        chosen = Path(os.path.abspath(Path(str(python)).expanduser()))
    else:
        name = Path("Scripts/python.exe") if os.name == "nt" else Path("bin/python")
        places = [Path.cwd() / FOLDER / name, Path(__file__).absolute().parents[2] / FOLDER / name]
        chosen = next((place for place in places if place.is_file()), places[0])
    if not chosen.is_file():
        raise UserError(
            chosen,
            expected="the interpreter of MONAI Label's virtual environment",
            found="none",
            remedy="make it with `make monailabel` in a checkout, or name it with --python",
        )
    try:
        done = subprocess.run(
            [str(chosen), "-c", _PROBE], capture_output=True, encoding="utf-8", timeout=120, check=True
        )
        description = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise UserError(chosen, expected="a Python interpreter", found=f"something else ({error})") from error
    if description["monailabel"] is None:
        raise UserError(
            chosen,
            expected="an environment with MONAI Label",
            found="one without",
            remedy="make it with `make monailabel` in a checkout, or name another interpreter with --python",
        )
    if not description["monai_cl"]:
        raise UserError(
            chosen,
            expected="monai_cl beside MONAI Label, because bundles name its functions",
            remedy=(
                f"install it there with `{chosen} -m pip install --no-deps` and the checkout or wheel this command "
                "comes from"
            ),
        )
    return chosen


def server_command(
    python: Path, app: Path, studies: str, *, host: str, port: int, conf: Mapping[str, str], token: str | None = None
) -> tuple[list[str], dict[str, str]]:
    """Command line and environment of the server.

    Args:
        python: of MONAI Label's environment.
        app: the app's folder.
        studies: folder of the scans, or the URL of a DICOMweb server.
        host: address that the server listens on.
        port: TCP port that it listens on.
        conf: the app's own options (``--conf``).
        token: that clients have to send; None: none is asked for.
    """
    words = [str(python), "-m", "monai_cl.serving.server", "start_server", "--app", str(app), "--studies", studies]
    words += ["--uvicorn_app", "monai_cl.serving.web:app", "--host", host, "--port", str(port)]
    for key, value in conf.items():
        words += ["--conf", key, value]
    # torchrun, which MONAI Label calls by name, lies beside the interpreter
    path = os.pathsep.join([str(python.parent), os.environ.get("PATH", "")])
    # scans that a viewer uploads for one inference
    sessions = os.environ.get("MONAI_LABEL_SESSION_PATH") or str(app / "sessions")
    variables = {HOST_VARIABLE: host, TOKEN_VARIABLE: token or "", "MONAI_LABEL_SESSION_PATH": sessions}
    return words, {**os.environ, "PATH": path, **variables}


def access_token(host: str, given: str | None = None) -> str | None:
    """The token of a server: the one that is given; a new one where others than this machine reach the server.

    Raises:
        UserError: it is too short, or is not printable ASCII without spaces, which is what a header can carry.
    """
    if given is None:
        return None if is_loopback(host) else secrets.token_urlsafe(24)
    if len(given) < SHORTEST_TOKEN or not given.isascii() or not given.isprintable() or " " in given:
        raise UserError(
            f"--token: expected at least {SHORTEST_TOKEN} printable characters without spaces, got {len(given)}; "
            'make one with: python -c "import secrets; print(secrets.token_urlsafe(24))"'
        )
    return given


def check_port(host: str, port: int) -> None:
    """Refuse, before anything is created, an address where a server cannot listen.

    Raises:
        UserError: not a port number, a port in use, or an address this machine does not have.
    """
    if isinstance(port, bool) or not isinstance(port, int) or not 1 <= port <= 65535:
        raise UserError("--port", expected="an integer from 1 to 65535", found=f"{port!r}")
    try:
        with socket.create_server((str(host), port)):
            pass
    except OSError as error:
        other = "--port" if error.errno in (errno.EADDRINUSE, errno.EACCES) else "--host"
        raise UserError(
            f"{host}:{port}", found=f"cannot listen there ({error.strerror or error})", remedy=f"try another {other}"
        ) from error


def become(words: list[str], environment: Mapping[str, str], *, folder: Path) -> None:
    """Replace this process by another command in another folder, so that a signal meant for the server reaches it.

    The folder matters: MONAI Label takes a scan's name for a path if something in the current folder has that name.
    """
    sys.stdout.flush()
    os.chdir(folder)
    if os.name == "nt":  # its exec returns to the shell immediately
        sys.exit(subprocess.call(words, env=dict(environment)))
    os.execve(words[0], words, dict(environment))
