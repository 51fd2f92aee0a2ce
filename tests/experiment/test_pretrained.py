"""Reference weights: published small and whole from a finished run, and shown only where they fit."""

import json
from dataclasses import replace

import pytest
import torch

import medsynth_lib as ms
from medsynth_lib.data import joint
from medsynth_lib.experiment import pretrained as reference
from medsynth_lib.experiment.profiles import PROFILES


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A smoke run of five simulated subjects with a trained VAE in it."""
    monkeypatch.setenv("MEDSYNTH_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(reference, "REFERENCES", tmp_path / "reference")
    monkeypatch.setattr(reference, "REPOSITORY", tmp_path)
    monkeypatch.setitem(PROFILES, "smoke", smaller(PROFILES["smoke"]))
    run = ms.start("01_vae", "smoke")
    slices = run.slices()
    vae = ms.VAE(*vars(joint.shape_of(slices)).values(), width=8, latent=4)
    record = ms.fit(vae, joint.tensors_of(slices), run.folder, images=16, batch_size=4, seed=0)
    run.finish(generator="vae", training=record)
    return run, vae


def smaller(profile):
    return replace(profile, data=replace(profile.data, subjects=5, slices_per_subject=1))


def test_published_weights_sample_nearly_the_same(run):
    run, vae = run
    (folder,) = reference.copy_generators(run.folder.parent, reference.REFERENCES)
    assert folder == reference.REFERENCES / "phantom_32px" / "vae"
    record = json.loads((folder / "config.json").read_text())["run"]
    assert record["seed"] == 0 and record["data_hash"] == run.slices().hash()
    shown = ms.load_reference("vae", run)
    assert torch.allclose(shown.sample(2, 0)[0], vae.sample(2, 0)[0], atol=0.02), "half precision, nothing else"


def test_too_large_a_model_is_refused_before_anything_is_written(run, monkeypatch):
    monkeypatch.setattr(reference, "MAX_BYTES", 1000)
    with pytest.raises(ValueError, match="more than 1,000: make it smaller"):
        reference.copy_generators(run[0].folder.parent, reference.REFERENCES)
    assert not reference.REFERENCES.exists()


def test_nothing_is_shown_where_nothing_fits(run, capsys):
    run, _ = run
    assert ms.load_reference("vae", run) is None and "no reference weights" in capsys.readouterr().out
    (folder,) = reference.copy_generators(run.folder.parent, reference.REFERENCES)
    config = json.loads((folder / "config.json").read_text())
    config["plan"]["arguments"]["channels"] = 1
    (folder / "config.json").write_text(json.dumps(config))
    assert ms.load_reference("vae", run) is None and "other channels" in capsys.readouterr().out
