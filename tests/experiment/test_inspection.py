"""`medsynth inspect`: what was read, in words and as a picture, or one sentence."""

import numpy as np
import pytest
from PIL import Image

from medsynth_lib.course.command_line import main
from medsynth_lib.data import registry

ROWS, COLUMNS = np.mgrid[:24, :24]


def save(file, pixels):
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(file)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for k in range(5):
        save(tmp_path / f"mine/images/{k}.png", np.random.default_rng(k).integers(0, 255, (24, 24)))
        save(tmp_path / f"mine/masks/{k}.png", np.where(ROWS < 6, 7, 0))
    return tmp_path / "mine"


@pytest.mark.filterwarnings("ignore:.*no subjects.csv")
def test_values_shares_and_what_was_unusual(folder, capsys):
    assert main(["inspect", "folder:mine", "--picture", "look.png"]) == 0
    said = capsys.readouterr().out
    for text in ("5 slices of 5 subjects", "7 -> foreground (25 %)", "folder of masks: masks", "no subjects.csv"):
        assert text in said
    with Image.open(folder.parent / "look.png") as picture:
        assert np.asarray(picture.convert("L")).std() > 10


@pytest.mark.filterwarnings("ignore:.*no subjects.csv")
def test_classes_and_leaks_between_their_parts(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for part in ("train", "test"):
        for kind in "ab":
            for k in range(3):
                pixels = np.random.default_rng([ord(kind), k if part == "train" else k + 2]).integers(0, 255, (24, 24))
                save(tmp_path / f"set/{part}/{kind}/{k}.png", pixels)
    assert main(["inspect", "classes:set"]) == 0
    said = capsys.readouterr().out
    assert "slices per class: a 5, b 5" in said and "2 of 6 images outside the given test part" in said
    assert len(list(tmp_path.glob("inspect-classes-set-*.png"))) == 1


def test_a_fault_is_one_sentence(folder, capsys):
    save(folder / "images/6.png", ROWS)
    assert main(["inspect", "folder:mine"]) == 1
    assert "6.png has no mask in" in capsys.readouterr().err
    assert main(["inspect", "folder:nowhere"]) == 1
    assert "does not exist" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore:.*no subjects.csv")
def test_what_may_not_be_read_is_no_matter_of_the_picture(folder, monkeypatch, capsys):
    assert main(["inspect", "folder:mine", "--picture", "missing/look.png"]) == 1
    assert "missing/look.png: No such file or directory; choose another file by --picture." in capsys.readouterr().err

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied", "mine/images/0.png")

    monkeypatch.setattr(registry, "load", refuse)
    assert main(["inspect", "folder:mine"]) == 1
    assert capsys.readouterr().err == "mine/images/0.png: Permission denied; check that you may read it.\n"
