"""Samples on disk: interrupted and resumed, or by several workers, equals straight."""

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import medsynth_lib as ms
from medsynth_lib.core.checkpoints import CheckpointError, load_weights, save_weights, write_json
from medsynth_lib.data import stored
from medsynth_lib.data.slices import SliceSet
from medsynth_lib.experiment import sampling, source


def a_trained_one(folder, size):
    """A VAE of images of `size` pixels, what its samples shall be like, and the folder of its weights."""
    like = SliceSet(
        images=np.zeros((8, 1, size, size), np.float32),
        labels=np.zeros((8, size, size), np.uint8),
        subjects=list("aabbccdd"),
        channels=("x",),
        label_names=("background", "thing"),
        source="made",
    )
    torch.manual_seed(0)
    method = ms.VAE(1, 2, size, width=8, latent=4)
    ms.fit(method, ms.joint.tensors_of(like), folder, images=8, batch_size=4, seed=0)
    return method, like, folder


@pytest.fixture
def trained(tmp_path):
    return a_trained_one(tmp_path / "model", 16)


def test_interrupted_sampling_goes_on_where_it_was(trained, monkeypatch):
    method, like, folder = trained
    monkeypatch.setattr(sampling, "SHARD", 4)
    straight, speed = ms.sample_to_disk(method, 10, 7, like, folder)
    assert len(straight) == 10 and speed["sample_images_per_second"] > 0
    assert SliceSet.load(folder / "samples").hash() == straight.hash()

    sample, calls = method.sample, []

    def breaks_at_the_second_shard(n, seed):
        calls.append(n)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return sample(n, seed)

    method.sample = breaks_at_the_second_shard
    with pytest.raises(KeyboardInterrupt):
        ms.sample_to_disk(method, 10, 7, like, folder)
    resumed, _ = ms.sample_to_disk(method, 10, 7, like, folder)
    assert calls == [4, 4, 4, 2], "the first shard was kept"
    assert resumed.hash() == straight.hash()
    assert not list(folder.glob("samples.shards-*"))


def test_another_seed_gives_other_samples(trained):
    method, like, folder = trained
    first, _ = ms.sample_to_disk(method, 4, 1, like, folder)
    second, _ = ms.sample_to_disk(method, 4, 2, like, folder)
    assert first.hash() != second.hash()


@pytest.mark.parametrize("workers", [2, 5])
def test_any_number_of_workers_writes_the_same_bytes(trained, monkeypatch, workers, capsys):
    method, like, folder = trained
    monkeypatch.setattr(sampling, "SHARD", 4)
    like.save(folder.parent / "00_data" / "slices")
    straight, _ = ms.sample_to_disk(method, 26, 7, like, folder)
    for worker in reversed(range(workers)):
        arguments = [str(folder), "--slices", "26", "--seed", "7", "--worker", str(worker), "--workers", str(workers)]
        assert sampling.main(arguments) == 0
        assert (folder / "samples-26-7").is_dir() == (worker == 0), "the last one puts the shards together"
    found = SliceSet.load(folder / "samples-26-7")
    assert found.hash() == straight.hash() and len(set(found.subjects)) == 26
    assert sampling.main(arguments) == 0 and "there already" in capsys.readouterr().out


def test_processes_side_by_side_write_the_same_bytes(trained, monkeypatch):
    method, like, folder = trained
    straight, _ = ms.sample_to_disk(method, 300, 7, like, folder)
    monkeypatch.setattr(sampling, "WORTHWHILE", 0.0)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    beside, _ = ms.sample_to_disk(method, 300, 7, like, folder)
    torch.set_num_threads(before)
    assert beside.hash() == straight.hash()


def test_killed_and_started_again_has_no_gap_and_no_duplicate(trained, monkeypatch, root):
    method, like, folder = trained
    like.save(folder.parent / "00_data" / "slices")
    command = [
        sys.executable,
        "-m",
        "medsynth_lib.experiment.sampling",
        str(folder),
        "--slices",
        "20000",
        "--seed",
        "3",
    ]
    shards = folder / f"samples-20000-3.shards-{sampling.weights_key(folder)}"
    first = subprocess.Popen(command, cwd=root, stdout=subprocess.DEVNULL, start_new_session=True)
    end = time.monotonic() + 120
    while len(list(shards.glob("*.npz"))) < 5 and time.monotonic() < end:
        time.sleep(0.01)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    drawn = len(list(shards.glob("*.npz")))
    assert 5 <= drawn < 313, "it was killed in between"
    assert subprocess.run(command, cwd=root, stdout=subprocess.DEVNULL).returncode == 0
    straight, _ = ms.sample_to_disk(method, 20_000, 3, like, folder)
    assert SliceSet.load(folder / "samples-20000-3").hash() == straight.hash()


def test_a_damaged_shard_and_a_generator_without_a_run_are_named(trained, monkeypatch, capsys):
    method, like, folder = trained
    assert sampling.main([str(folder), "--slices", "4"]) == 2
    assert "name a slice set with --like" in capsys.readouterr().out
    shards = folder / f"samples-4-0.shards-{sampling.weights_key(folder)}"
    sampling.draw(method, 4, 0, shards)
    whole = (shards / "000000.npz").read_bytes()
    (shards / "000000.npz").write_bytes(whole[: len(whole) // 2])
    like.save(folder.parent / "like")
    assert sampling.main([str(folder), "--slices", "4", "--like", str(folder.parent / "like")]) == 2
    assert "000000.npz cannot be read" in capsys.readouterr().out


def bytes_in(folder):
    """What the folder takes on the disk: holes in a file that is being filled take nothing."""
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def larger(tmp_path):
    """As `trained`, of 64 x 64 pixels: files are large beside the blocks of a disk."""
    return a_trained_one(tmp_path / "model", 64)


def test_samples_never_take_twice_their_place(larger, monkeypatch):
    """Looked at whenever a file is synchronised, which each copied shard is, and at the end."""
    method, like, folder = larger
    monkeypatch.setattr(sampling, "SHARD", 8)
    before, seen, fsync = bytes_in(folder), [], os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: [fsync(file), seen.append(bytes_in(folder) - before)])
    monkeypatch.setattr(np, "save", watched(np.save, lambda: seen.append(bytes_in(folder) - before)))
    samples, _ = ms.sample_to_disk(method, 160, 7, like, folder)
    one = 64 * 64 * 5  # bytes of a slice: a float32 and a label per pixel
    assert len(seen) >= 20 and 160 * one < max(seen) < (160 + 2 * 8) * one
    assert bytes_in(folder) - before < 170 * one


def watched(function, look):
    """`function`, and then a look."""

    def called(*args, **kwargs):
        found = function(*args, **kwargs)
        look()
        return found

    return called


@pytest.mark.parametrize("place", ["fsync", "truncate", "describe", "rename", "rmtree"])
@pytest.mark.parametrize("with_labels", [True, False])
def test_killed_while_shards_are_put_together_it_goes_on(trained, monkeypatch, place, with_labels):
    """At every step of it in turn, and without drawing anything again."""
    method, like, folder = trained
    if not with_labels:
        like = replace(like, labels=None, label_names=(), classes=np.arange(8) % 2, class_names=("well", "ill"))
    monkeypatch.setattr(sampling, "SHARD", 4)
    straight, drawn = ms.sample_to_disk(method, 18, 7, like, folder)[0].hash(), []
    method.sample = watched(method.sample, lambda: drawn.append(1))
    shards = sampling.shards_for(folder / "samples", f"{sampling.weights_key(folder)}-18-7")
    sampling.draw(method, 18, 7, shards)
    assert len(drawn) == 5
    home = {"fsync": os, "truncate": os, "rmtree": shutil, "rename": Path}.get(place, stored)
    kills = 0
    while killed_at(home, place, kills, lambda: ms.sample_to_disk(method, 18, 7, like, folder), monkeypatch):
        kills += 1
        assert kills < 50
    assert SliceSet.load(folder / "samples").hash() == straight
    assert kills >= (2 if place in ("fsync", "truncate", "rename") else 1)
    assert len(drawn) == 5 or place == "rmtree", "once the samples are in place, a new call draws new ones"
    assert not list(folder.glob("samples.*"))


def killed_at(home, name, count, work, monkeypatch):
    """Do the work; was it ended by call number `count` (from 0) of home.name?"""
    calls, original = [], getattr(home, name)

    def dies(*args, **kwargs):
        calls.append(1)
        if len(calls) > count:
            raise KeyboardInterrupt
        return original(*args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(home, name, dies)
        try:
            work()
        except KeyboardInterrupt:
            return True
    return False


def train_anew(method, like, folder):
    """Other weights under the same key: only the file tells them apart, as after a training on another machine."""
    with torch.no_grad():
        for parameter in method.decoder.parameters():
            parameter.mul_(1.5)
    save_weights(folder, method.weights(), load_weights(folder)[1])


def test_shards_and_samples_of_other_weights_are_not_kept(trained, monkeypatch, capsys):
    method, like, folder = trained
    monkeypatch.setattr(sampling, "SHARD", 4)
    like.save(folder.parent / "00_data" / "slices")
    words, out = [str(folder), "--slices", "8", "--seed", "7"], folder / "samples-8-7"
    assert sampling.main([*words, "--worker", "0", "--workers", "2"]) == 0, "one shard of two"
    train_anew(method, like, folder)
    assert sampling.main([*words, "--worker", "1", "--workers", "2"]) == 0
    assert not out.exists(), "its own shard and the one of other weights are no set"
    assert "was begun with other weights" in capsys.readouterr().out
    assert sampling.main(words) == 0
    straight, _ = ms.sample_to_disk(method, 8, 7, like, folder)
    assert SliceSet.load(out).hash() == straight.hash()

    train_anew(method, like, folder)
    capsys.readouterr()
    assert sampling.main(words) == 0
    assert "was not sampled from the weights that are there now; it is sampled again" in capsys.readouterr().out
    anew, _ = ms.sample_to_disk(method, 8, 7, like, folder)
    assert SliceSet.load(out).hash() == anew.hash() != straight.hash()
    assert sampling.main(words) == 0 and "is there already" in capsys.readouterr().out
    (out / "sampling.json").unlink()
    assert sampling.main(words) == 0 and "it is sampled again" in capsys.readouterr().out, "of unknown origin"
    assert not list(folder.glob("*.shards*"))


def test_an_interrupted_call_does_not_go_on_with_other_weights(trained, monkeypatch):
    method, like, folder = trained
    monkeypatch.setattr(sampling, "SHARD", 4)
    sampling.draw(method, 8, 7, sampling.shards_for(folder / "samples", f"{sampling.weights_key(folder)}-8-7"), only=1)
    train_anew(method, like, folder)
    after, _ = ms.sample_to_disk(method, 8, 7, like, folder)
    assert after.hash() == ms.sample_to_disk(method, 8, 7, like, folder)[0].hash()


def test_a_model_that_is_not_the_one_in_the_folder_is_not_sampled(trained):
    """Its samples would be recorded as those of the weights in the folder, and joined with theirs."""
    method, like, folder = trained
    other = ms.VAE(1, 2, 16, width=8, latent=4)
    with pytest.raises(CheckpointError, match="model holds other weights than this vae, which was trained anew"):
        ms.sample_to_disk(other, 4, 7, like, folder)
    assert not list(folder.glob("samples*"))
    other.load(method.weights())
    assert len(ms.sample_to_disk(other, 4, 7, like, folder)[0]) == 4


def test_weights_that_are_replaced_while_a_worker_reads_them_are_noticed(trained, monkeypatch, capsys):
    method, like, folder = trained
    like.save(folder.parent / "00_data" / "slices")
    read = sampling.load_generator
    monkeypatch.setattr(sampling, "load_generator", lambda *given: (read(*given), train_anew(method, like, folder))[0])
    assert sampling.main([str(folder), "--slices", "4"]) == 2
    assert "was trained anew at this moment; give the command again" in capsys.readouterr().out
    assert not list(folder.glob("samples*"))


def test_a_generator_is_not_described_by_slices_on_which_it_was_not_trained(trained, capsys):
    method, like, folder = trained
    slices = folder.parent / "00_data" / "slices"
    like.save(slices)
    key = load_weights(folder)[1]["key"]
    write_json(folder / "metrics.json", {"run": {"data_hash": like.hash()}, "describes": {"weights_key": key}})
    words = [str(folder), "--slices", "4"]
    assert sampling.main(words) == 0
    replace(like, label_names=("background", "something else"), subjects=list("aaaabbbb")).save(slices)
    capsys.readouterr()
    assert sampling.main(words) == 2
    assert "was trained on other slices than" in capsys.readouterr().out
    assert sampling.main([*words, "--like", str(slices)]) == 0, "as the user says"


def test_files_that_changed_since_the_training_are_told(trained, tmp_path, capsys):
    method, like, folder = trained
    like.save(folder.parent / "00_data" / "slices")
    (tmp_path / "set" / "images").mkdir(parents=True)
    (tmp_path / "set" / "images" / "a.png").touch()
    data = f"folder:{tmp_path / 'set'}"
    source.remember(folder.parent / "00_data", source.seen(data))
    write_json(folder.parent / "00_data" / "request.json", {"data": data})
    words = [str(folder), "--slices", "4"]
    assert sampling.main(words) == 0
    (tmp_path / "set" / "images" / "b.png").touch()
    capsys.readouterr()
    assert sampling.main(words) == 2
    assert "images/b.png of folder:" in (told := capsys.readouterr().out) and "name the slice set" in told
    shutil.rmtree(tmp_path / "set")
    assert sampling.main(words) == 0, "a worker on a machine without the source"


def test_a_full_disk_is_told(trained, monkeypatch, capsys):
    method, like, folder = trained
    like.save(folder.parent / "like")

    def full(_):
        raise OSError(28, "No space left on device")

    key = sampling.weights_key(folder)
    sampling.draw(method, 4, 0, folder / f"samples-4-0.shards-{key}")
    monkeypatch.setattr(os, "fsync", full)
    assert sampling.main([str(folder), "--slices", "4", "--like", str(folder.parent / "like")]) == 2
    assert "No space left on device" in capsys.readouterr().out
