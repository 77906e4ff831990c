"""Tests of files of weights of any origin."""
