"""A notebook run from the command line: parameters checked first, failures told, partial notebooks kept."""

import json
import subprocess
import sys
import threading

import nbformat
import pytest

from medsynth_lib.course import execute as headless
from medsynth_lib.course import notebooks as course

CELL = 'profile: str = "demo"  # size\nseed: int = 0  # seed\nflag: bool = True\nrate: float = 0.5'


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A notebook folder of our own with one notebook called 01_vae."""

    def write(*sources):
        cells = [nbformat.v4.new_code_cell(CELL, metadata={"tags": ["parameters"]})]
        cells += [nbformat.v4.new_code_cell(source) for source in sources]
        (tmp_path / "notebooks").mkdir(exist_ok=True)
        kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        notebook = nbformat.v4.new_notebook(cells=cells, metadata=kernel)
        nbformat.write(notebook, tmp_path / "notebooks" / "01_vae.ipynb")

    monkeypatch.setattr(headless, "FOLDER", tmp_path / "notebooks")
    return write


def test_values_get_the_type_of_the_parameters_cell(folder, tmp_path):
    folder()
    values = headless.read_parameters(tmp_path / "notebooks" / "01_vae.ipynb", ["profile=007", "seed=7", "flag=false"])
    assert values == {"profile": "007", "seed": 7, "flag": False}


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("sede=1", "has no parameter 'sede'; known parameters: profile, seed, flag, rate"),
        ("seed=1.5", "parameter seed is '1.5', expected int"),
        ("flag=yes", "parameter flag is 'yes', expected bool"),
    ],
)
def test_what_papermill_would_let_pass_is_refused_before_a_kernel_starts(folder, tmp_path, capsys, word, message):
    folder("raise AssertionError('a kernel was started')")
    assert headless.main(["01_vae", str(tmp_path / "out.ipynb"), word]) == 2
    assert message in capsys.readouterr().out
    assert not (tmp_path / "out.ipynb").exists()


def test_unknown_notebook_lists_the_known(capsys, tmp_path):
    assert headless.main(["99_none", str(tmp_path / "out.ipynb")]) == 2
    assert ", ".join(course.NOTEBOOKS) in capsys.readouterr().out


def test_a_failing_cell_keeps_the_partial_notebook_and_names_the_error(folder, tmp_path, capsys):
    folder("print('reached', seed)", "raise ValueError('the reason')", "print('never')")
    assert headless.main(["01_vae", str(tmp_path / "out.ipynb"), "seed=5"]) == 1
    text = capsys.readouterr().out
    assert "reached 5" in text and "ValueError: the reason" in text and "never" not in text
    assert "reached 5" in json.dumps(nbformat.read(tmp_path / "out.ipynb", 4))


def test_a_notebook_that_cannot_be_written_is_told(folder, tmp_path, capsys, monkeypatch):
    folder()

    def full(*_, **__):
        raise OSError(28, "No space left on device", str(tmp_path / "out.ipynb"))

    monkeypatch.setattr(headless.papermill, "execute_notebook", full)
    assert headless.main(["01_vae", str(tmp_path / "out.ipynb")]) == 1
    told = capsys.readouterr().out.splitlines()[-1]
    assert told.startswith(f"01_vae failed: {tmp_path / 'out.ipynb'}: No space left on device; free space")


def test_a_killed_kernel_is_138(folder, tmp_path, capsys):
    folder("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert headless.main(["01_vae", str(tmp_path / "out.ipynb")]) == 138
    assert "01_vae failed" in capsys.readouterr().out


def test_an_early_end_without_an_error_is_a_failure(folder, tmp_path, capsys):
    """papermill alone returns 0 here, with the later cells never run."""
    folder("import sys; sys.exit(0)", "print('never')")
    assert headless.main(["01_vae", str(tmp_path / "out.ipynb")]) == 1
    text = capsys.readouterr().out
    assert "ended before its last cell" in text and "never" not in text


def test_a_notebook_that_still_runs_elsewhere_is_waited_for(folder, tmp_path):
    """Snakemake was killed, its notebook lives on: two processes must not write to one folder."""
    folder("print('second')")
    hold = "import sys, pathlib; from medsynth_lib.core.locks import own_turn\n"
    hold += "with own_turn(pathlib.Path(sys.argv[1]), ''): print('held'); sys.stdin.read()"
    words = [sys.executable, "-u", "-c", hold, str(tmp_path)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        ends = []
        run = threading.Thread(target=lambda: ends.append(headless.main(["01_vae", str(tmp_path / "out.ipynb")])))
        run.start()
        run.join(2)
        assert run.is_alive() and not (tmp_path / "out.ipynb").exists()
        other.stdin.close()
    run.join(60)
    assert ends == [0]


def test_the_kernel_is_this_environment_and_knows_that_nobody_watches(folder, tmp_path, capsys, monkeypatch):
    """Also where another python3 kernel was registered."""
    kernel = tmp_path / "kernels" / "python3" / "kernel.json"
    kernel.parent.mkdir(parents=True)
    kernel.write_text(json.dumps({"argv": ["no-such-python"], "display_name": "another", "language": "python"}))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    folder("import sys, os; print(sys.executable, os.environ['MEDSYNTH_HEADLESS'], os.environ.get('MEDSYNTH_PROFILE'))")
    assert headless.main(["01_vae", str(tmp_path / "out.ipynb")]) == 0
    assert f"{sys.executable} 1 None" in capsys.readouterr().out


def test_usage(root):
    done = subprocess.run(
        [sys.executable, "-m", "medsynth_lib.course.execute"], capture_output=True, text=True, cwd=root
    )
    assert done.returncode == 2 and "usage" in done.stdout


def test_what_a_kernel_sends_to_stdout_itself_is_not_in_the_log_twice(folder, tmp_path):
    """Child processes of a kernel (`side_by_side`) print to its stdout; ipykernel passes that on, and echoes it."""
    child = "subprocess.run([sys.executable, '-c', 'print(\\'from a child\\')'])"
    folder("import subprocess, sys, time", child, "time.sleep(1)")
    program = (
        "import sys; from pathlib import Path; from medsynth_lib.course import execute as headless\n"
        "headless.silence_children(); "
        f"headless.FOLDER = Path({str(tmp_path / 'notebooks')!r}); "
        f"sys.exit(headless.main(['01_vae', {str(tmp_path / 'out.ipynb')!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.count("from a child") == 1
