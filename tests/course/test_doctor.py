"""What the doctor says of this machine, and of one with faults."""

import sys
from types import SimpleNamespace

import pytest

from medsynth_lib.course import doctor
from medsynth_lib.course.doctor import Finding


def test_a_line_for_everything_and_the_exit_code(monkeypatch, capsys):
    monkeypatch.setattr(doctor, "CHECKS", (lambda: Finding("one", "works"),))
    assert doctor.main([]) == 0 and "everything that is needed works" in capsys.readouterr().out
    monkeypatch.setattr(doctor, "CHECKS", (*doctor.CHECKS, lambda: Finding("two", "is broken", "mend it")))
    assert doctor.main([]) == 1
    assert capsys.readouterr().out.splitlines()[1:] == [
        f"{'two':12s} is broken",
        f"{'':12s} fix: mend it.",
        "1 problem",
    ]


def test_every_check_answers_here():
    found = [check() for check in doctor.CHECKS]
    about = [finding.about for finding in found]
    assert about == sorted(set(about), key=about.index) and all(finding.text for finding in found)
    assert not next(finding for finding in found if finding.about == "torch").fix


@pytest.mark.parametrize(("version", "fits"), [((3, 10, 1), False), ((3, 12, 0), True), ((3, 15, 0), False)])
def test_pythons(monkeypatch, version, fits):
    monkeypatch.setattr(sys, "version_info", version)
    assert bool(doctor.python().fix) != fits


def test_packages_against_the_lock(tmp_path):
    (tmp_path / "requirements-torch.txt").write_text("# why\ntorch==2.13.0\n")
    lock = "numpy==0.1 \\\n    --hash=sha256:00\nno-such-package==1.0 ; sys_platform == 'win32'\n"
    (tmp_path / "requirements.lock").write_text(lock)
    assert doctor.pinned(tmp_path).keys() - {"no-such-package"} == {"numpy", "torch"}
    found = doctor.packages(tmp_path)
    assert "numpy" in found.text and "(lock: 0.1)" in found.text
    assert bool(found.fix) == (sys.platform == "win32")
    (tmp_path / "requirements.lock").write_text("no-such-package==1.0\n")
    found = doctor.packages(tmp_path)
    assert "missing: no-such-package" in found.text and "install.py" in found.fix


def test_a_broken_torchvision_is_to_be_uninstalled(monkeypatch, tmp_path):
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").write_text("raise RuntimeError('torchvision::nms does not exist')")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "torchvision", raising=False)
    found = doctor.torchvision()
    assert "does not fit torch" in found.text and "pip uninstall torchvision" in found.fix


def test_without_make_it_says_what_to_type(monkeypatch):
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    found = doctor.make()
    assert "no make and no bash; type python -m medsynth_lib reproduce" in found.text and not found.fix


def test_too_little_room(monkeypatch, tmp_path):
    monkeypatch.setenv("MEDSYNTH_RUNS", str(tmp_path / "not" / "there"))
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: SimpleNamespace(free=1e8))
    found = doctor.disk()
    assert str(tmp_path / "not" / "there") in found.text and "MEDSYNTH_RUNS" in found.fix


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("MEDSYNTH_RUN", "x", "correct or unset MEDSYNTH_RUN; known: MEDSYNTH_DATA"),
        ("MEDSYNTH_THREADS", "two", "whole number"),
        ("MEDSYNTH_SPEED", "bf17", "known: bf16"),
    ],
)
def test_a_variable_that_nobody_reads_or_can_read(monkeypatch, name, value, words):
    monkeypatch.setenv(name, value)
    found = doctor.variables()
    assert f"{name}={value}" in found.text and words in found.fix


def test_data_that_are_there_are_named(monkeypatch, tmp_path):
    monkeypatch.setenv("MEDSYNTH_DATA", str(tmp_path))
    (tmp_path / "Task04_Hippocampus").mkdir()
    there = "phantom, phantom-uniform, hippocampus"
    assert doctor.data().text == f"{there}; not yet in {tmp_path}: braintumour, pneumoniamnist"
