"""The Makefile refuses what it cannot do, in one sentence and before anything is installed."""

import os
import shutil
import subprocess

import pytest

from medsynth_lib.course.notebooks import NOTEBOOKS


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
    for name in ("Makefile", "constraints.txt", "pyproject.toml"):
        shutil.copy(root / name, folder / name)
    (folder / "notebooks").mkdir()
    for name in NOTEBOOKS:
        (folder / "notebooks" / f"{name}.ipynb").touch()
    return folder


@pytest.mark.parametrize(
    ("variable", "words"),
    [
        ("PROFILE=huge", "unknown PROFILE 'huge'; known profiles: smoke, demo, reference, gpu, paper, family"),
        ("DATA=mnist", "unknown DATA 'mnist'; known: phantom, hippocampus, braintumour"),
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


@pytest.mark.parametrize("version", [(3, 9), (3, 10), (3, 13)])
def test_a_python_that_does_not_fit_is_told_what_to_do(copy, version):
    fake = copy / "old python"
    fake.write_text(
        "#!/bin/sh\n"
        f'[ "$1" = --version ] && echo "Python {version[0]}.{version[1]}.0" && exit 0\n'
        f'exec python3 -c "import sys; sys.version_info = ({version[0]}, {version[1]}, 0); exec(sys.argv[1])" "$2"\n'
    )
    fake.chmod(0o755)
    done = make(copy, "test", f"PYTHON={fake}")
    assert done.returncode != 0
    assert f"Python {version[0]}.{version[1]}.0 does not fit: medsynth needs Python 3.11 or 3.12" in done.stdout


def test_a_missing_python_is_told_what_to_do(copy):
    done = make(copy, "test", "PYTHON=no-such-python")
    assert done.returncode != 0 and "no-such-python was not found; install Python 3.11 or 3.12" in done.stdout


def test_reproduce_passes_its_variables_on_and_installs_once(copy):
    """With a stand-in for the environment: paths with spaces survive, a present stamp means no installation."""
    (copy / ".venv" / "bin").mkdir(parents=True)
    stand_in = copy / ".venv" / "bin" / "python"
    stand_in.write_text('#!/bin/sh\nprintf "<%s>" "$@"\n')
    stand_in.chmod(0o755)
    (copy / ".venv" / ".stamp").touch()
    done = make(
        copy, "reproduce", "PROFILE=smoke", "DATA=folder:/data/my images", "SEED=3", "CORES=2", "NOTEBOOKS=00 01"
    )
    assert done.returncode == 0, done.stderr
    for word in ("<smoke>", "<folder:/data/my images>", "<3>", "<2>", "<00 01>"):
        assert word in done.stdout


def test_help_names_every_command_and_variable(root):
    text = make(root, "help").stdout
    for word in ("reproduce", "test", "lab", "student", "clean", "PROFILE=", "DATA=", "SEED=", "CORES=", "NOTEBOOKS="):
        assert word in text
