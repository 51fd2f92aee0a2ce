"""The Makefile refuses what it cannot do, in one sentence and before anything is installed."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from medsynth_lib.course.command_line import COMMANDS
from medsynth_lib.course.notebooks import NOTEBOOKS
from medsynth_lib.experiment.profiles import NAMES


def make(folder, *arguments, **environment) -> subprocess.CompletedProcess:
    clean = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "PROFILE", "DATA", "NOTEBOOKS")}
    return subprocess.run(
        ["make", *arguments], cwd=folder, capture_output=True, text=True, timeout=60, env={**clean, **environment}
    )


@pytest.fixture
def copy(root, tmp_path):
    """Makefile and lists in a folder with spaces, without .venv."""
    folder = tmp_path / "my projects" / "med synth"
    folder.mkdir(parents=True)
    for name in ("Makefile", "install.py", "requirements.lock", "requirements-torch.txt", "pyproject.toml"):
        shutil.copy(root / name, folder / name)
    (folder / "notebooks").mkdir()
    for name in NOTEBOOKS:
        (folder / "notebooks" / f"{name}.ipynb").touch()
    return folder


@pytest.mark.parametrize(
    ("variable", "words"),
    [
        ("PROFILE=huge", f"unknown PROFILE 'huge'; known profiles: {', '.join(NAMES)}, or a .toml file"),
        ("PROFILE=my sizes.toml", "there is no file 'my sizes.toml'; correct PROFILE"),
        ("DATA=mnist", "unknown DATA 'mnist'; known: phantom, phantom-uniform, hippocampus, braintumour"),
        ("DATA=brats:", "unknown DATA 'brats:'"),
        ("NOTEBOOKS=vae", "unknown NOTEBOOKS 'vae'; known: core, all, 00 01"),
        ("NOTEBOOKS=00 99", "unknown NOTEBOOKS '99'; known: core, all, 00 01"),
        ("SEED=-1", "SEED is '-1'; give a whole number"),
        ("CORES=0", "CORES is '0'; give a whole number"),
    ],
)
def test_unknown_values_stop_before_installing(copy, variable, words):
    done = make(copy, "reproduce", variable)
    assert done.returncode != 0 and words in done.stdout
    assert not (copy / ".venv").exists()


@pytest.mark.parametrize("version", [(3, 9, 0), (3, 11, 2), (3, 15, 0)])
def test_a_python_that_does_not_fit_is_told_what_to_do(copy, version):
    """A stand-in that runs install.py under another version's number."""
    fake = copy / "old python"
    program = f"import runpy, sys; sys.version_info = {version}; sys.argv = sys.argv[1:]; "
    program += 'runpy.run_path(sys.argv[0], run_name="__main__")'
    fake.write_text(f"#!/bin/sh\nexec {sys.executable} -c '{program}' \"$@\"\n")
    fake.chmod(0o755)
    done = make(copy, "test", f"PYTHON={fake}")
    assert done.returncode != 0 and not (copy / ".venv").exists()
    number = ".".join(map(str, version))
    assert (
        f"Python {number} does not fit: medsynth needs Python 3.11 (3.11.5 or later), 3.12, 3.13 or 3.14" in done.stdout
    )


def test_a_missing_python_is_told_what_to_do(copy):
    done = make(copy, "test", "PYTHON=no-such-python")
    assert done.returncode != 0 and "no-such-python was not found; install Python 3.11 to 3.14" in done.stdout


def test_reproduce_passes_its_variables_on_and_installs_once(copy):
    """With a stand-in for the environment: paths with any signs survive, a present stamp means no installation."""
    stand_in_for_python(copy)
    done = make(
        copy, "reproduce", "PROFILE=smoke", "DATA=folder:/data/{my} $images's", "SEED=3", "CORES=2", "NOTEBOOKS=00 01"
    )
    assert done.returncode == 0, done.stderr
    for word in ("<reproduce>", "<smoke>", "<folder:/data/{my} $images's>", "<3>", "<2>", "<00 01>"):
        assert word in done.stdout


def test_every_command_line_that_make_calls_is_understood(copy):
    """What arrives at the stand-in is read by the commands' own parsers."""
    stand_in_for_python(copy)
    (copy / "my sizes.toml").touch()
    for target, more in (("reproduce", []), ("plan", []), ("release", ["GENERATOR=edm", "FORCE=1"]), ("student", [])):
        done = make(copy, target, *more, "PROFILE=my sizes.toml", "SEED=4")
        flag, module, command, *words = re.findall("<(.*?)>", done.stdout)
        assert (flag, module, command) == ("-m", "medsynth_lib", target)
        asked = COMMANDS[command].parser().parse_args(words)
        assert target == "student" or (asked.seed == 4 and asked.profile.endswith("/my sizes.toml"))
    assert re.findall("<(.*?)>", make(copy, "doctor").stdout)[2:] == ["doctor"]


def stand_in_for_python(copy):
    """A .venv whose Python only shows its arguments."""
    (copy / ".venv" / "bin").mkdir(parents=True)
    stand_in = copy / ".venv" / "bin" / "python"
    stand_in.write_text('#!/bin/sh\nprintf "<%s>" "$@"\n')
    stand_in.chmod(0o755)
    (copy / ".venv" / ".stamp").touch()


def test_help_names_every_command_and_variable(root):
    text = make(root, "help").stdout
    commands = ("reproduce", "plan", "release", "test", "lab", "student", "doctor", "clean")
    for word in (*commands, "PROFILE=", "DATA=", "SEED=", "CORES=", "NOTEBOOKS="):
        assert word in text
