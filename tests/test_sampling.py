"""Samples on disk: interrupted and resumed, or by several workers, equals straight."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

import medsynth_lib as ms
from medsynth_lib import sampling
from medsynth_lib.data.slices import SliceSet


@pytest.fixture
def trained(tmp_path):
    torch.manual_seed(0)
    like = SliceSet(
        images=np.zeros((8, 1, 16, 16), np.float32),
        labels=np.zeros((8, 16, 16), np.uint8),
        subjects=list("aabbccdd"),
        channels=("x",),
        label_names=("background", "thing"),
        source="made",
    )
    method = ms.VAE(1, 2, 16, width=8, latent=4)
    ms.fit(method, ms.joint.tensors_of(like), tmp_path / "model", images=8, batch_size=4, seed=0)
    return method, like, tmp_path / "model"


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
    command = [sys.executable, "-m", "medsynth_lib.sampling", str(folder), "--slices", "20000", "--seed", "3"]
    shards = folder / "samples-20000-3.shards"
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
    shards = folder / "samples-4-0.shards"
    sampling.draw(method, 4, 0, shards)
    whole = (shards / "000000.npz").read_bytes()
    (shards / "000000.npz").write_bytes(whole[: len(whole) // 2])
    like.save(folder.parent / "like")
    assert sampling.main([str(folder), "--slices", "4", "--like", str(folder.parent / "like")]) == 2
    assert "000000.npz cannot be read" in capsys.readouterr().out
