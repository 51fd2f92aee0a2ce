"""SliceSet and the split by subject."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from medsynth_lib.core.checkpoints import CheckpointError
from medsynth_lib.data.slices import PARTS, DataError, SliceSet, Split, concatenate, hash_of, split_subjects


def make(subjects=10, per_subject=3, size=8, seed=0, **changes):
    rng = np.random.default_rng(seed)
    n = subjects * per_subject
    values = dict(
        images=rng.uniform(-1, 1, (n, 2, size, size)).astype(np.float32),
        labels=rng.integers(0, 3, (n, size, size)).astype(np.uint8),
        classes=rng.integers(0, 2, n),
        subjects=[f"s{k // per_subject:02d}" for k in range(n)],
        levels=np.tile(np.arange(per_subject), subjects),
        channels=("T1", "T2"),
        label_names=("background", "core", "rim"),
        class_names=("normal", "ill"),
        spacing=(0.5, 0.5),
        source="made",
        processing={"intensity": "none"},
    )
    return SliceSet(**{**values, **changes})


def test_split_is_disjoint_whole_and_seeded():
    slices = make(subjects=20)
    split = split_subjects(slices, seed=3)
    parts = [set(getattr(split, part)) for part in PARTS]
    assert [len(part) for part in parts] == [12, 4, 4]
    assert set.union(*parts) == set(slices.unique_subjects()) and sum(map(len, parts)) == 20
    assert split == split_subjects(slices, seed=3)
    assert split.hash() != split_subjects(slices, seed=4).hash()
    assert sum(len(split.part(slices, part)) for part in PARTS) == len(slices)


def test_identical_images_are_tied_together():
    slices = make(subjects=12)
    images = slices.images.copy()
    images[0] = images[6] = images[30]  # subjects 0, 2 and 10 share an image
    slices = make(subjects=12, images=images)
    for seed in range(20):
        split = split_subjects(slices, seed)
        assert split.duplicate_images == 2
        owners = [{"s00", "s02", "s10"} & set(getattr(split, part)) for part in PARTS]
        assert sorted(map(len, owners)) == [0, 0, 3]


def test_empty_slices_tie_nobody():
    slices = make(subjects=6)
    images = slices.images.copy()
    images[::3] = -1
    assert split_subjects(make(subjects=6, images=images), 0).duplicate_images == 0


def test_too_few_subjects():
    with pytest.raises(DataError, match="2 independent subject"):
        split_subjects(make(subjects=2), 0)


def test_save_load_round_trip_is_memory_mapped(tmp_path):
    slices = make()
    loaded = SliceSet.load(slices.save(tmp_path / "set"))
    assert isinstance(loaded.images, np.memmap)
    assert loaded.hash() == slices.hash()
    for name in ("channels", "label_names", "class_names", "spacing", "source", "processing"):
        assert getattr(loaded, name) == getattr(slices, name)
    assert not (tmp_path / "set.part").exists()
    slices.select(np.arange(5)).save(tmp_path / "set")  # saved again: replaced as a whole
    assert len(SliceSet.load(tmp_path / "set")) == 5


@pytest.mark.parametrize("damage", ["no dataset.json", "cut images", "broken json", "cut csv", "no images"])
def test_corrupt_folder(tmp_path, damage):
    folder = make().save(tmp_path / "set")
    if damage == "no dataset.json":
        (folder / "dataset.json").unlink()
    elif damage == "cut images":
        (folder / "images.npy").write_bytes((folder / "images.npy").read_bytes()[:500])
    elif damage == "broken json":
        (folder / "dataset.json").write_text("{")
    elif damage == "cut csv":
        (folder / "slices.csv").write_text("subject,level\ns00,0\n")
    else:
        (folder / "images.npy").unlink()
    with pytest.raises(DataError):
        SliceSet.load(folder)


def test_split_round_trip_and_edited_split(tmp_path):
    split = split_subjects(make(), 0)
    split.save(tmp_path / "split.json")
    assert Split.load(tmp_path / "split.json") == split
    record = json.loads((tmp_path / "split.json").read_text())
    record["gen_train"].append(record["test"].pop())
    (tmp_path / "split.json").write_text(json.dumps(record))
    with pytest.raises(DataError, match="changed after it was written"):
        Split.load(tmp_path / "split.json")
    with pytest.raises(DataError, match="unknown part"):
        split.part(make(), "validation")


GOOD = make()
BAD = {
    "expected float32": dict(images=GOOD.images.astype(np.float64)),
    "no slices are left": dict(images=GOOD.images[:0]),
    "channel names": dict(channels=("T1",)),
    "but 30 subject ids": dict(images=GOOD.images[:3]),
    "NaN": dict(images=np.where(GOOD.images > 0.9, np.float32("nan"), GOOD.images)),
    "rescale them": dict(images=GOOD.images * 3),
    "make them match": dict(labels=GOOD.labels[:, :4]),
    "label value 2 has no name": dict(label_names=("background", "core")),
    "whole numbers": dict(classes=GOOD.classes.astype(float)),
    "class value has no name": dict(class_names=("normal",)),
}


@pytest.mark.parametrize("sentence", BAD)
def test_bad_input_has_its_sentence(sentence):
    with pytest.raises(DataError, match=sentence):
        make(**BAD[sentence])


def test_concatenate_and_describe():
    both = concatenate(make(seed=0), make(seed=1))
    assert len(both) == 60 and both.labels.shape == (60, 8, 8)
    assert both.describe()["slices_with_label_percent"]["core"] == 100.0
    with pytest.raises(DataError, match="differ"):
        concatenate(make(), make(channels=("a", "b")))
    bare = {"labels": None, "label_names": ()}
    with pytest.raises(DataError, match="differ"):
        concatenate(make(**bare), make(**bare, classes=None, class_names=()))


def test_classes_beside_labels_are_kept_where_both_sets_have_them():
    assert concatenate(make(), make()).class_names == make().class_names
    mixed = concatenate(make(), make(classes=None, class_names=()))
    assert mixed.classes is None and mixed.class_names == () and mixed.labels is not None


def test_facts_follow_their_subjects(tmp_path):
    names = make().unique_subjects()
    whole = make(facts={name: {"site": "A", "ml": 1.5} for name in names})
    assert SliceSet.load(whole.save(tmp_path / "set")).facts == whole.facts
    assert set(whole.of_subjects(names[:2]).facts) == set(names[:2])
    other = replace(whole, subjects=np.char.add("other-", whole.subjects), facts={"other-x": {"site": "B"}})
    assert concatenate(whole, other).facts == {**whole.facts, "other-x": {"site": "B"}}


def counted(monkeypatch):
    """A list that grows with every hash that is computed from pixels."""
    calls, digest = [], SliceSet._digest
    monkeypatch.setattr(SliceSet, "_digest", lambda self: calls.append(len(self)) or digest(self))
    return calls


def test_the_hash_is_computed_once_and_then_read(tmp_path, monkeypatch):
    calls = counted(monkeypatch)
    folder = make().save(tmp_path / "set")
    assert calls == [30]
    loaded = SliceSet.load(folder)
    assert loaded.hash() == SliceSet.load(folder).hash() == hash_of(folder) == make().hash()
    assert calls == [30, 30], "only the set that was never stored"
    assert loaded.select(np.arange(30)[::-1]).hash() != loaded.hash(), "a part has a hash of its own"


@pytest.mark.parametrize("name", ["images", "labels", "classes", "slices.csv"])
def test_a_file_that_was_written_to_is_hashed_anew(tmp_path, name):
    """Within its range and with its length kept: nothing but the hash can notice it."""
    folder = make().save(tmp_path / "set")
    before = hash_of(folder)
    path = folder / (name if "." in name else f"{name}.npy")
    content = bytearray(path.read_bytes())
    if name == "images":
        content[-4:] = np.float32(0.123).tobytes()
    elif name == "labels":
        content[-1] = (content[-1] + 1) % 3
    else:
        content[{"classes": -8, "slices.csv": -3}[name]] ^= 1
    path.write_bytes(content)
    assert SliceSet.load(folder).hash() == hash_of(folder) != before


def test_a_copy_without_its_times_has_the_same_hash(tmp_path):
    folder = make().save(tmp_path / "set")
    copy = shutil.copytree(folder, tmp_path / "copy", copy_function=shutil.copyfile)
    assert hash_of(copy) == SliceSet.load(copy).hash() == make().hash()


def test_a_kill_while_a_set_is_replaced_leaves_a_whole_one(tmp_path, monkeypatch):
    """Killed while the new one is written: the old one. Killed while the old one is deleted: the new one."""
    folder = make().save(tmp_path / "set")

    def killed(*_):
        raise KeyboardInterrupt

    def killed_after_one_file(path, **_):
        if Path(path).is_dir():
            next(Path(path).iterdir()).unlink()
            killed()

    for module, name, by, left in ((np, "save", killed, 0), (shutil, "rmtree", killed_after_one_file, 1)):
        monkeypatch.setattr(module, name, by)
        with pytest.raises(KeyboardInterrupt):
            make(seed=1).save(folder)
        monkeypatch.undo()
        assert SliceSet.load(folder).hash() == make(seed=left).hash()
        shutil.rmtree(tmp_path / "set.part", ignore_errors=True)
    make(seed=2).save(folder)
    assert SliceSet.load(folder).hash() == make(seed=2).hash() and len(list(tmp_path.iterdir())) == 1


def test_a_full_disk_is_told_and_leaves_no_set(tmp_path, monkeypatch):
    def full(*_):
        raise OSError("4096 requested and 0 written")  # numpy's words

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(CheckpointError, match="slices could not be written .4096 requested.*; free space"):
        make().save(tmp_path / "slices")
    assert not (tmp_path / "slices").exists()


def test_subjects_set_aside_stay_through_selection_storage_and_joining(tmp_path):
    slices = make(subjects=4, set_aside=("s01", "s03"))
    assert slices.of_subjects(["s00", "s01"]).set_aside == ("s01",)
    assert SliceSet.load(slices.save(tmp_path / "s")).set_aside == ("s01", "s03")
    assert concatenate(slices, make(subjects=1, seed=1)).set_aside == ("s01", "s03")
    split = split_subjects(slices, seed=0)
    assert set(split.test) == {"s01", "s03"} and set(split.gen_train + split.holdout) == {"s00", "s02"}
    with pytest.raises(DataError, match="1 independent subject.* beside those for testing"):
        split_subjects(replace(slices, set_aside=("s00", "s01", "s03")), seed=0)
