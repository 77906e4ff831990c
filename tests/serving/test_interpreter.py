"""MONAI Label's interpreter is found or its absence explained; the command it is started with."""

from __future__ import annotations

import inspect
import socket
import sys
from pathlib import Path

import pytest

from monai_cl.cli.commands import main
from monai_cl.cli.monailabel import monailabel_command
from monai_cl.errors import UserError
from monai_cl.serving import AppFolder, find_interpreter, server_command
from monai_cl.serving.interpreter import HOST_VARIABLE, TOKEN_VARIABLE, access_token, check_port


def test_no_environment_says_how_to_make_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        UserError, match=r"nowhere/python: expected the interpreter of .*make it with `make monailabel`"
    ):
        find_interpreter("nowhere/python")


@pytest.mark.skipif(sys.platform == "win32", reason="writes a shell script")
@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ('{"monailabel": null, "monai_cl": true}', "expected an environment with MONAI Label, found one without"),
        ('{"monailabel": "0.8.5", "monai_cl": false}', "expected monai_cl beside MONAI Label"),
        ("hello", "expected a Python interpreter, found something else"),
    ],
)
def test_an_environment_without_what_is_needed_is_refused(tmp_path, answer, message):
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\necho '{answer}'\n", encoding="utf-8")
    python.chmod(0o755)
    with pytest.raises(UserError, match=message):
        find_interpreter(python)


@pytest.mark.skipif(sys.platform == "win32", reason="writes a shell script")
def test_the_folder_of_the_current_directory_is_looked_at_first(tmp_path, monkeypatch):
    python = tmp_path / ".venv-monailabel" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\necho \'{"monailabel": "0.8.5", "monai_cl": true}\'\n', encoding="utf-8")
    python.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    assert find_interpreter() == python


def test_the_server_listens_on_this_machine_alone_unless_asked_otherwise():
    defaults = {name: p.default for name, p in inspect.signature(monailabel_command).parameters.items()}
    assert defaults["host"] == "127.0.0.1"
    words, environment = server_command(
        Path("/env/bin/python"), Path("/app"), "/scans", host="127.0.0.1", port=8000, conf={"zoo_source": "local"}
    )
    assert words[:4] == ["/env/bin/python", "-m", "monai_cl.serving.server", "start_server"]
    assert words[words.index("--host") + 1] == "127.0.0.1"
    assert words[-3:] == ["--conf", "zoo_source", "local"]
    assert environment["PATH"].startswith("/env/bin")
    assert (environment[HOST_VARIABLE], environment[TOKEN_VARIABLE]) == ("127.0.0.1", "")


def test_a_server_that_others_reach_asks_for_a_token():
    assert access_token("127.0.0.1") is None
    assert access_token("localhost") is None
    first, second = access_token("0.0.0.0"), access_token("192.168.1.5")
    assert len(first) >= 32
    assert first != second
    assert access_token("127.0.0.1", "correct-horse-battery") == "correct-horse-battery"


@pytest.mark.parametrize("token", ["", "short", "fifteen letters", "sixteen letters and more", "sechzehn-Zeichen-é"])
def test_a_token_that_a_header_cannot_carry_or_that_is_soon_guessed_is_refused(token):
    with pytest.raises(UserError, match="--token: expected at least 16 printable characters without spaces"):
        access_token("127.0.0.1", token)


@pytest.mark.parametrize("given", [None, "environment", "option"])
def test_the_token_is_printed_only_where_it_is_new_and_never_on_the_servers_command_line(
    tmp_path, monkeypatch, capsys, given
):
    token = "correct-horse-battery"
    made = AppFolder(tmp_path, "spleen_unetr_segmentation", "segmentation", made=True)
    started = []
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    if given == "environment":
        monkeypatch.setenv(TOKEN_VARIABLE, token)
    monkeypatch.setattr("monai_cl.serving.interpreter.find_interpreter", lambda python: Path("/env/bin/python"))
    monkeypatch.setattr("monai_cl.serving.find_interpreter", lambda python: Path("/env/bin/python"), raising=False)
    monkeypatch.setattr("monai_cl.serving.lay_out_app", lambda *args, **options: made, raising=False)
    monkeypatch.setattr("monai_cl.serving.interpreter.check_port", lambda host, port: None)
    monkeypatch.setattr("monai_cl.serving.interpreter.become", lambda *command, folder: started.append(command))
    options = {"token": token} if given == "option" else {}
    monailabel_command("spleen_unetr_segmentation", str(tmp_path), host="192.168.1.5", **options)
    ((words, environment),) = started
    used = environment[TOKEN_VARIABLE]
    printed = capsys.readouterr().out
    assert "clients need the token" in printed
    assert (f"token: {used}" in printed.splitlines()) == (given is None)
    assert used not in " ".join(words)
    assert given is None or used == token


def test_a_port_that_is_taken_is_refused():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"127.0.0.1:{port}: cannot listen there .*try another --port"):
            check_port("127.0.0.1", port)
    check_port("127.0.0.1", port)
    with pytest.raises(UserError, match="--port: expected an integer from 1 to 65535, found 0"):
        check_port("127.0.0.1", 0)


def test_a_users_mistake_is_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="2"):
        main(["monailabel", "--bundle", "spleen_unetr_segmentation", "--studies", "nowhere"])
    assert capsys.readouterr().err.splitlines() == [
        "error: nowhere: expected a folder of scans or the URL of a DICOMweb server, found neither"
    ]
