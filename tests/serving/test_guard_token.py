"""A server that asks for a token: 3D Slicer's own client sends it, and without it nothing answers."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import replace

import pytest

from monai_cl.serving import find_interpreter
from tests.serving.label_app import CASES, MODEL, lay_out_small_app
from tests.serving.label_calls import Call, calls, send
from tests.serving.label_server import LabelServer

pytestmark = [pytest.mark.monailabel, pytest.mark.timeout(1800)]
TOKEN = "correct-horse-battery-staple"
SLICER = """
import importlib.util, json, sys
file, url, folder, password = sys.argv[1:]
spec = importlib.util.spec_from_file_location("client", file)
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
client = module.MONAILabelClient(url, tmpdir=folder)
assert client.auth_enabled()
try: client.info()
except module.MONAILabelClientException as error: assert error.status_code == 401
else: raise AssertionError("answered without a token")
try: client.auth_token("reader", "wrong")
except module.MONAILabelClientException as error: assert error.status_code == 401
else: raise AssertionError("took a wrong password")
client.update_auth(client.auth_token("reader", password))
assert client.auth_valid_token()
sample = client.next_sample("first", {})["id"]
print(json.dumps([sorted(client.info()["models"]), sample]))  # with the length of the request before it
"""


@pytest.fixture(scope="module")
def locked(tmp_path_factory) -> Iterator[LabelServer]:
    root = tmp_path_factory.mktemp("locked")
    lay_out_small_app(root)
    running = LabelServer(root, "--bundle", MODEL, "--studies", "studies", "--app", "app", token=TOKEN)
    try:
        running.wait()
        yield running
    finally:
        running.stop()


def test_with_a_token_3d_slicers_own_client_logs_in(locked, tmp_path):
    interpreter = find_interpreter()
    client = interpreter.parent.parent / "monailabel/plugins/slicer/MONAILabel/MONAILabelLib/client.py"
    (tmp_path / "slicer.py").write_text(SLICER, encoding="utf-8")
    command = [interpreter, "-W", "ignore", tmp_path / "slicer.py", client, f"http://127.0.0.1:{locked.port}", tmp_path]
    done = subprocess.run([*map(str, command), TOKEN], capture_output=True, encoding="utf-8", timeout=300)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [[MODEL], CASES[0]]


def test_without_the_token_no_route_answers(locked):
    for call in calls(locked):
        for headers in ({}, {"Authorization": "Bearer"}, {"Authorization": f"Basic {TOKEN}"}, {"Authorization": TOKEN}):
            assert send(locked, replace(call, headers=headers))[0] == 401, call
    assert send(locked, Call("GET", "/"))[0] == 401
    assert TOKEN not in locked.log.read_text(encoding="utf-8")
