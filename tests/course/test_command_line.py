"""One command line: what it lists, how soon it answers, how it refuses, what it hands on."""

import subprocess
import sys
import tomllib
from types import SimpleNamespace

import pytest

from medsynth_lib.course import command_line
from medsynth_lib.course.command_line import COMMANDS, main

SLOW = {"torch", "monai", "diffusers", "matplotlib", "snakemake", "papermill"}


def test_help_lists_every_command(capsys):
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(f"  {name} " in text for name in COMMANDS) and "Example" in text
    assert main([]) == 2


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_each_describes_every_option_and_ends_with_an_example(name, capsys):
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    text = capsys.readouterr().out
    assert ended.value.code == 0 and f"example:\n  medsynth {name}" in text
    for action in COMMANDS[name].parser()._actions:
        assert action.help, f"{action.dest} has no help"


def test_the_help_imports_nothing_slow(root):
    program = "import sys; from medsynth_lib.course.command_line import main\n"
    program += "try: main(['reproduce', '--help'])\nexcept SystemExit: print('loaded', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=root)
    assert "loaded" in done.stdout and not SLOW & set(done.stdout.partition("loaded")[2].split())


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["reproduse"], "unknown command 'reproduse'; known: reproduce, plan, inspect, sample"),
        (["reproduce", "--sede", "1"], "unrecognized arguments: --sede 1; see medsynth reproduce --help"),
        (["plan", "--seed", "-1"], "'-1' is not a whole number from 0 on"),
        (["plan", "--cores", "0"], "'0' is not a whole number from 1 on"),
        (["sample", "folder"], "--slices"),
        (["sample", "folder", "--slices", "0"], "'0' is not a whole number from 1 on"),
        (["release"], "generator"),
    ],
)
def test_a_bad_word_is_refused_in_one_sentence(root, words, sentence):
    done = subprocess.run([sys.executable, "-m", "medsynth_lib", *words], capture_output=True, text=True, cwd=root)
    assert done.returncode == 2 and sentence in done.stderr and len(done.stderr.splitlines()) == 1
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("words", "sentence"),
    [(["--profile", "huge"], "huge"), (["--data", "mnist"], "mnist"), (["--notebooks", "99"], "unknown notebook '99'")],
)
def test_an_unknown_value_is_refused_in_one_sentence(words, sentence, capsys):
    assert main(["plan", *words]) == 2
    text = capsys.readouterr().out
    assert sentence in text and len(text.splitlines()) == 1


def test_plan_is_a_dry_run_of_reproduce(monkeypatch):
    given = {}
    module = SimpleNamespace(main=lambda words: given.update(words=words) or 7)
    monkeypatch.setattr(command_line.importlib, "import_module", lambda name: given.update(name=name) or module)
    assert main(["plan", "--seed", "3"]) == 7
    assert given == {"name": "medsynth_lib.course.reproduce", "words": ["--seed", "3", "--dry-run"]}


def test_what_the_system_refuses_is_one_sentence(monkeypatch, tmp_path, capsys):
    def full(words):
        raise PermissionError(13, "Permission denied", "/runs/demo")

    monkeypatch.setattr(command_line.importlib, "import_module", lambda name: SimpleNamespace(main=full))
    assert main(["doctor"]) == 2
    assert capsys.readouterr().out.startswith("/runs/demo: Permission denied; free space, or set MEDSYNTH_RUNS")
    monkeypatch.setenv("MEDSYNTH_RUNS", "~nobody-of-that-name/runs")
    assert main(["doctor"]) == 2
    assert "~nobody-of-that-name/runs cannot be resolved" in capsys.readouterr().out


def test_every_command_has_its_main():
    for command in COMMANDS.values():
        assert callable(command_line.importlib.import_module(f"medsynth_lib.{command.module}").main)


def test_the_console_script_is_the_same(root):
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["scripts"] == {"medsynth": "medsynth_lib.course.command_line:main"}
