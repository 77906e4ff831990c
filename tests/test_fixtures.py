"""Slow tests are collected by `make test` as well: what they would miss at their start is found there."""

from __future__ import annotations


def test_every_collected_test_finds_its_fixtures(missing_fixtures):
    assert missing_fixtures == []
