"""Cards: every number is the record's, gaps are dashes, and both files appear."""

import json

import numpy as np
from test_release import RUN as OF_RELEASE
from test_report import record_of

from medsynth_lib.data.slices import SliceSet
from medsynth_lib.evaluation import cards

RUN = {**OF_RELEASE, "subjects": {"gen_train": 6, "holdout": 2, "test": 5}}
SLICES = SliceSet(
    np.zeros((4, 1, 8, 8), np.float32),
    ["a", "a", "b", "b"],
    np.zeros((4, 8, 8), np.uint8),
    channels=("T1",),
    label_names=("background", "lesion"),
    spacing=(2.0, 3.0),
    source="phantom",
    processing={"intensity": "scaled"},
)
GROUPS = {"small lesion": {"share of real slices": 0.25, "share of synthetic slices": None, "covered": 0.5}}


def test_a_model_card_says_what_was_measured_and_its_comparison():
    text = cards.model_card(record_of(), RUN, SLICES, GROUPS)
    for words in (
        "# Model card: vae",
        "0.800 [0.790, 0.810]",
        "2.0, 2.0, 2.0",
        "0.30",
        "other real subjects 0.60",
        "1.5 % [0.4, 3.1]",
    ):
        assert words in text, words
    assert "0.610 [0.500, 0.700] | members against members 0.420 to 0.590" in text
    assert "| small lesion | 0.25 | - | 0.50 |" in text and "Not for diagnosis" in text and "exact 100 %" in text


def test_what_was_not_measured_is_a_dash():
    assert "| Dice of a segmenter trained on its slices only | - | on real slices - |" in cards.model_card(
        record_of(dice=None), RUN, SLICES, {}
    )


def test_a_data_card_names_subjects_licence_and_processing():
    text = cards.data_card(SLICES, RUN, {})
    for words in ("# Data card: phantom", "6 subjects in gen_train", "2 x 3 mm", "- intensity: scaled", "No subgroups"):
        assert words in text, words


def test_words_and_numbers_are_written_side_by_side(tmp_path):
    path = cards.write(tmp_path / "cards", "vae", "# text", {"a": 1})
    assert path.read_text() == "# text" and json.loads(path.with_suffix(".json").read_text()) == {"a": 1}
