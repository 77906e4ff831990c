"""``python -m monai_cl monailabel``: a trained bundle behind a MONAI Label server."""

from __future__ import annotations

from typing import Any

from monai_cl.errors import UserError, echo


def monailabel_command(
    bundle: str,
    studies: str,
    *,
    checkpoint: str | None = None,
    app: str = "runs/monailabel",
    uncertainty: bool = False,
    host: str = "127.0.0.1",
    port: int = 8000,
    token: str | None = None,
    python: str | None = None,
    start: bool = True,
    **overrides: Any,
) -> None:
    """Serve a trained segmentation or classification bundle to 3D Slicer through MONAI Label.

    Creates the app's folder with a copy of the bundle, and starts the server in MONAI Label's own environment
    (`make monailabel` creates it). An existing app is started as it is, with what it has learnt since; another bundle
    is added to it. All bundles of an app are served.

    Example:
        python -m monai_cl monailabel --bundle spleen_unetr_segmentation --studies /data/scans --checkpoint runs/spleen

    Args:
        bundle: a bundle's name or folder.
        studies: folder with the scans (NIfTI, NRRD), where submitted labels go too; or the URL of a DICOMweb server.
        checkpoint: folder of a run, or its model.pt; the bundle's models/model.pt when not given. Sizes and organs are
            read from the results.json beside it.
        app: folder of the app.
        uncertainty: offer the strategy "uncertainty": five passes with dropout over every unlabelled scan.
        host: address to listen on. Where other machines reach it, clients need a token.
        port: port to listen on, and the port that clients have to name.
        token: password that clients have to send, at least 16 characters; also as environment variable
            MONAI_CL_LABEL_TOKEN. When neither is given and other machines reach the server, a new one is printed.
        python: interpreter of MONAI Label's environment; .venv-monailabel when not given.
        start: start the server; --nostart only creates the folder.
        overrides: values of the bundle's inference.yaml and train.yaml to replace in the copy, e.g. --num_workers 0.
    """
    import os
    from pathlib import Path

    from monai_cl.serving import find_interpreter, lay_out_app, server_command
    from monai_cl.serving.interpreter import TOKEN_VARIABLE, access_token, become, check_port

    remote = str(studies).startswith(("http://", "https://"))
    if not remote and not Path(str(studies)).is_dir():
        raise UserError(studies, expected="a folder of scans or the URL of a DICOMweb server", found="neither")
    interpreter = find_interpreter(python) if start else None
    if start:
        check_port(host, port)
        token_text = str(token) if token is not None else os.environ.get(TOKEN_VARIABLE) or None
        secret = access_token(str(host), token_text)
    made = lay_out_app(str(app), str(bundle), checkpoint=checkpoint, overrides=overrides)
    echo(f"{made.folder}: {'made' if made.made else 'found'}, with {made.model}")
    if not start:
        return
    # any source but MONAI Label's default, which asks the model zoo on the network before it looks at the folder
    conf = {"zoo_source": "local", "uncertainty": str(uncertainty).lower()}
    where = str(studies) if remote else str(Path(str(studies)).resolve())
    echo(f"MONAI Label on http://{host}:{port} (in 3D Slicer: MONAI Label, App Server); Ctrl-C stops it")
    if secret is not None:
        echo("clients need the token: 3D Slicer asks for a user, any name, and a password, the token")
        if token_text is None:
            echo(f"token: {secret}")
    command = server_command(interpreter, made.folder, where, host=str(host), port=port, conf=conf, token=secret)
    become(*command, folder=made.folder)
