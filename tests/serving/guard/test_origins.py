"""A server answers to its own address, and to no web page but its own."""

from __future__ import annotations

import socket

import pytest

from monai_cl.serving.guard.origins import ServerAddress, foreign_page, is_loopback

HERE = ServerAddress("127.0.0.1", 8000)


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost:8000", "LOCALHOST:8000"])
def test_a_loopback_server_has_two_names(host):
    assert HERE.answers_to(host, reached_at="127.0.0.1")


@pytest.mark.parametrize(
    "host",
    [
        *("", "evil.example", "evil.example:8000", "127.0.0.1", "127.0.0.1:80", "127.0.0.1:8001"),
        *("127.0.0.1:8000.evil", "localhost.evil.example:8000", "evil@127.0.0.1:8000", "127.0.0.1:8000/x"),
        *("127.0.0.1:8000#", "127.0.0.1:x", "127.0.0.1:8000, evil.example", "[::1]:8000", "2130706433:8000"),
        *("127.1:8000", "[", "127.0.0.1:99999"),
    ],
)
def test_no_other_name_reaches_it(host):
    assert not HERE.answers_to(host, reached_at="127.0.0.1")


def test_port_80_is_left_out_of_a_host():
    assert ServerAddress("127.0.0.1", 80).answers_to("127.0.0.1")
    assert ServerAddress("127.0.0.1", 80).answers_to("127.0.0.1:80")


def test_a_server_on_all_addresses_answers_to_the_one_it_is_reached_at_and_to_its_name():
    everywhere = ServerAddress("0.0.0.0", 8000)
    assert everywhere.answers_to("192.168.1.5:8000", reached_at="192.168.1.5")
    assert everywhere.answers_to(f"{socket.gethostname()}:8000", reached_at="192.168.1.5")
    assert not everywhere.answers_to("192.168.1.6:8000", reached_at="192.168.1.5")
    assert not everywhere.answers_to("evil.example:8000", reached_at="192.168.1.5")


@pytest.mark.parametrize(
    ("hosts", "loopback"),
    [
        (("127.0.0.1", "127.0.0.2", "localhost", "::1", "[::1]"), True),
        (("0.0.0.0", "::", "192.168.1.5", "localhost.evil.example", ""), False),
    ],
)
def test_only_loopback_is_this_machine_alone(hosts, loopback):
    assert {is_loopback(host) for host in hosts} == {loopback}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": ["http://127.0.0.1:8000"]},
        {"referer": ["http://127.0.0.1:8000/logs/"], "sec-fetch-site": ["same-origin"]},
        {"sec-fetch-site": ["none"]},
    ],
)
def test_clients_and_the_servers_own_pages_pass(headers):
    assert foreign_page(headers, host="127.0.0.1:8000") is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("origin", "http://evil.example"),
        ("origin", "null"),
        ("origin", ""),
        ("origin", "https://127.0.0.1:8000"),
        ("origin", "http://127.0.0.1:8001"),
        ("origin", "http://127.0.0.1:8000.evil.example"),
        ("origin", "http://127.0.0.1:8000@evil.example"),
        ("origin", "http://["),
        ("referer", "http://evil.example/127.0.0.1:8000"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ],
)
def test_a_page_from_elsewhere_is_named(name, value):
    assert foreign_page({name: [value]}, host="127.0.0.1:8000") == f"{name}: {value}"


def test_one_foreign_header_among_several_is_enough():
    assert foreign_page({"origin": ["http://127.0.0.1:8000", "http://evil.example"]}, host="127.0.0.1:8000")
