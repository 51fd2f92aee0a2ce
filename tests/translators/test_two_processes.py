"""Translators train in two processes over gloo, and stay equal."""

import pytest
from two_processes import assert_they_stay_equal


@pytest.mark.parametrize("name", ["cyclegan", "attention_cyclegan", "spade"])
def test_two_processes_over_gloo_stay_equal(name, tmp_path):
    assert_they_stay_equal(name, tmp_path / "out", "ddp_find_unused_parameters_true")
