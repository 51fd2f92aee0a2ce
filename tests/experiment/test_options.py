"""Shared options read the same words everywhere."""

from pathlib import Path

from medsynth_lib.experiment import options
from medsynth_lib.experiment.profiles import NAMES


def test_a_run_is_named_alike_by_every_command():
    words = ["--profile", "gpu", "--data", "hippocampus", "--seed", "2"]
    for parser, more in ((options.reproduce(), []), (options.plan(), []), (options.release(), ["edm"])):
        asked = parser.parse_args([*more, *words])
        assert (asked.profile, asked.data, asked.seed) == ("gpu", "hippocampus", 2)
        asked = parser.parse_args(more)
        assert (asked.profile, asked.data, asked.seed) == ("demo", "phantom", 0)


def test_the_path_of_a_profile_holds_in_other_folders():
    assert options.reproduce().parse_args(["--profile", "my sizes.toml"]).profile == str(
        Path("my sizes.toml").absolute()
    )


def test_the_help_lists_the_known_profiles():
    assert ", ".join(NAMES) in " ".join(options.reproduce().format_help().split())
