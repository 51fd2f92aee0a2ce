"""Notebooks that cannot run together, or on these data, are refused before anything starts."""

import pytest

from medsynth_lib.course.notebooks import select
from medsynth_lib.course.requests import refuse_impossible


@pytest.mark.parametrize(
    ("profile", "notebooks", "data"),
    [
        *[(profile, "core", "folder:/data") for profile in ("smoke", "demo", "paper")],
        ("smoke", "05 06", "phantom"),
        ("smoke", "01 02 03", "phantom"),
        ("smoke", "07", "phantom"),
        ("demo", "01 06", "phantom"),
        ("paper", "03 06", "brats:/data"),
        ("smoke", "all", "phantom-uniform"),
        ("smoke", "00 12", "phantom"),
    ],
)
def test_what_can_run_is_let_pass(profile, notebooks, data):
    refuse_impossible(select(notebooks), profile, data)


@pytest.mark.parametrize(
    ("profile", "notebooks", "data", "sentence"),
    [
        ("smoke", "01 06", "phantom", 'only latent_diffusion, edm .* add 05_ddpm, e.g. NOTEBOOKS="00 01 05 06"'),
        ("smoke", "03 07", "phantom", 'these notebooks train none of them; .* NOTEBOOKS="00 03 05 06 07"'),
        ("paper", "02 06", "brats:/data", "add 03_stylegan or 05_ddpm, e.g."),
        ("demo", "00 12", "folder:/data", '12_measures_measured needs simulated subjects: .* NOTEBOOKS="00"'),
        ("demo", "all", "hippocampus", 'NOTEBOOKS="00 01 02 03 04 05 06 07 08 09 10 11"'),
    ],
)
def test_the_refusal_says_what_to_type(profile, notebooks, data, sentence):
    with pytest.raises(ValueError, match=sentence) as told:
        refuse_impossible(select(notebooks), profile, data)
    refuse_impossible(select(str(told.value).split('"')[-2]), profile, data)
