"""The server against bad names, hosts and origins: nothing outside the studies is opened, nothing starts, no 500.

What the server does with files is seen by an audit hook inside it.
"""

from __future__ import annotations

import json
import os
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.serving.audit import Audit
from tests.serving.label_app import CASES, MODEL
from tests.serving.label_calls import NO_PATH, Call, calls, send, with_bad

pytestmark = [pytest.mark.monailabel, pytest.mark.timeout(1800)]
BAD = [
    *("../outside/secret", "../../outside/secret", "../../../evil", "..", "/etc/evil", "a/../evil", "a\\evil", "~evil"),
    *("..\\..\\evil", "C:\\evil", "%2e%2e%2fevil", "%252e%252e%252fevil", "%2e%2e%5cevil", "%00evil", "evil%00"),
    *("%2fetc%2fevil", "%c0%ae%c0%ae%2fevil", "evil%1b", "evil\u202e", "file:///etc/evil", *NO_PATH),
]


def tree(folder: Path) -> dict[str, Any]:
    """Every file and link with its content."""

    def content(path: Path) -> Any:
        return path.readlink() if path.is_symlink() else path.is_file() and path.read_bytes()

    return {str(path.relative_to(folder)): content(path) for path in folder.rglob("*")}


def check_untouched(root: Path, audit: Audit) -> None:
    """Nothing was opened outside, no path with a bad name was, and no process has been started."""
    outside = os.path.realpath(root / "outside")
    for event, names in audit.events():
        assert event != "subprocess.Popen", names
        for name in names:
            real = os.path.realpath(os.path.join(root / "app", name))
            assert not real.startswith(outside), (event, names)
            assert "evil" not in name, (event, names)


def test_the_hook_sees_what_the_server_opens(guarded_server, guarded_root, audit):
    list(audit.events())  # of its start
    assert send(guarded_server, Call("GET", "/datastore/image", query={"image": CASES[0]}))[0] == 200
    opened = [name for event, names in audit.events() if event == "open" for name in names]
    assert str(guarded_root / "studies" / f"{CASES[0]}.nii.gz") in opened


def test_every_value_of_every_route_is_refused_where_it_is_not_a_plain_name(guarded_server, guarded_root, audit):
    list(audit.events())
    tried = 0
    snapshot = tree(guarded_root / "outside"), tree(guarded_root / "studies")
    for call in calls(guarded_server):
        for value in [*BAD, str(guarded_root / "outside" / "secret")]:
            for bad in with_bad(call, value):
                status, answer = send(guarded_server, bad)
                assert 400 <= status < 500, f"{bad}\n{status} {answer[:300]!r}\n{guarded_server.tail()}"
                tried += 1
    assert tried > 1000
    assert (tree(guarded_root / "outside"), tree(guarded_root / "studies")) == snapshot
    check_untouched(guarded_root, audit)


def test_a_link_that_leads_out_of_the_studies_is_not_there(guarded_server, guarded_root, audit):
    stored = json.loads(send(guarded_server, Call("GET", "/datastore/", query={"output": "all"}))[1])["objects"]
    assert set(stored) == set(CASES)
    assert {name: list(entry["labels"]) for name, entry in stored.items() if entry["labels"]} == {CASES[0]: ["final"]}
    wanted = [
        Call("GET", "/datastore/image", query={"image": "link"}),
        Call("POST", f"/infer/{MODEL}", query={"image": "link"}),
        Call("DELETE", "/datastore/image", query={"id": "link"}),
        Call("GET", "/datastore/label", query={"label": CASES[1], "tag": "final"}),
        Call("GET", "/datastore/label", query={"label": CASES[0], "tag": "linked"}),
        Call("PUT", "/datastore/label", query={"image": CASES[0], "tag": "linked"}, files={"label": "x.nii.gz"}),
        Call("PUT", "/datastore/label", query={"image": CASES[1], "tag": "final"}, files={"label": "x.nii.gz"}),
        Call("PUT", "/datastore/image", query={"image": "link"}, files={"file": "x.nii.gz"}),
    ]
    snapshot = tree(guarded_root / "outside")
    for call in wanted:
        status, answer = send(guarded_server, call)
        assert status == 404, f"{call}\n{status} {answer[:300]!r}\n{guarded_server.tail()}"
    assert tree(guarded_root / "outside") == snapshot
    check_untouched(guarded_root, audit)


HOSTS = ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "127.0.0.1:{port}.evil", "[::1]:{port}", ""]
PAGES = [
    "http://evil.example",
    "http://evil.example:{port}",
    "https://127.0.0.1:{port}",
    "http://127.0.0.1",
    "null",
    "",
]


def test_another_host_or_a_page_from_elsewhere_is_refused_on_every_route(guarded_server, guarded_root, audit):
    list(audit.events())
    foreign = [("Host", host) for host in HOSTS]
    foreign += [(name, page) for name in ("Origin", "Referer") for page in PAGES]
    foreign += [("Sec-Fetch-Site", site) for site in ("cross-site", "same-site")]
    for call in calls(guarded_server):
        for name, value in foreign:
            status, _ = send(guarded_server, replace(call, headers={name: value.format(port=guarded_server.port)}))
            assert status in (400, 403), (call, name, value, status)  # 400: of the HTTP parser
    body_less = replace(Call("POST", f"/train/{MODEL}"), headers={"Origin": "http://evil.example"})
    assert send(guarded_server, body_less)[0] == 403
    check_untouched(guarded_root, audit)
    assert send(guarded_server, Call("GET", "/train/"))[0] == 404  # no training there


FUZZ = 1000


def test_a_thousand_bad_names_hosts_and_origins(guarded_server, guarded_root, audit):
    list(audit.events())
    draw = random.Random(0)
    pieces = ["..", "/", "\\", "%2e", "%2f", "%5c", "%00", "%25", "evil", "~", "\n", "\x7f", "\u202e", "C:", "."]
    pieces += ["outside", "secret", ".nii.gz", "é", "\ud800", "'", '"', "&", "=", ";", "$(x)", "{}", "%c0%ae", "\0"]
    known = calls(guarded_server)
    snapshot = tree(guarded_root / "outside"), tree(guarded_root / "studies")
    for number in range(FUZZ):
        call = draw.choice(known)
        if number % 3 == 0:
            header = draw.choice(["Host", "Origin", "Referer"])
            value = "".join(
                draw.choices([*pieces[3:9], "evil.example", ":", str(guarded_server.port), "127.0.0.1"], k=4)
            )
            bad = replace(call, headers={header: value.replace("\n", "").replace("\0", "")})
        else:
            value = "".join(["../", *draw.choices(pieces, k=draw.randint(1, 6))])
            bad = draw.choice(list(with_bad(call, value)))
        status, answer = send(guarded_server, bad)
        assert 400 <= status < 500, f"{number}: {bad}\n{status} {answer[:300]!r}\n{guarded_server.tail()}"
    assert (tree(guarded_root / "outside"), tree(guarded_root / "studies")) == snapshot
    check_untouched(guarded_root, audit)
    assert send(guarded_server, Call("GET", "/info/"))[0] == 200
