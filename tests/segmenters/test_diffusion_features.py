"""A decoder on a frozen diffusion model: it learns, the model stays, and one image has one answer."""

import pytest
import torch

import medsynth_lib as ms


def frozen():
    torch.manual_seed(0)
    return ms.EDM(1, 0, 16, 0.6, patch=2, widths=(8, 16))


def squares(n=12):
    """A bright square somewhere; its pixels are label 1."""
    labels = torch.zeros(n, 16, 16, dtype=torch.uint8)
    for k in range(n):
        labels[k, k % 6 + 2 : k % 6 + 7, k % 5 + 3 : k % 5 + 8] = 1
    return {"images": labels[:, None].float() * 1.2 - 0.6, "labels": labels}


def test_features_have_full_size_and_do_not_change():
    reader, images = ms.DiffusionFeatures(frozen(), 2), squares()["images"]
    features = reader.features(images)
    assert features.shape[0] == 12 and features.shape[2:] == (16, 16) and torch.equal(features[:, :1], images)
    assert torch.equal(features, reader.features(images))
    assert torch.allclose(features[3:4], reader.features(images[3:4]), atol=1e-5), "alone or in a batch"


def test_it_learns_from_few_and_leaves_the_model_alone(tmp_path):
    model = frozen()
    before = {name: value.clone() for name, value in model.weights().items()}
    reader, data = ms.DiffusionFeatures(model, 2, width=16), squares()
    ms.fit(reader, data, tmp_path, images=480, batch_size=8, seed=0)
    found = reader.predict(data["images"])
    both = (found & data["labels"]).sum().item()
    assert 2 * both / (found.sum() + data["labels"].sum()).item() > 0.9
    assert all(torch.equal(value, before[name]) for name, value in model.weights().items())
    assert not any(name.startswith("model") for name in reader.weights()), "only the decoder is saved"


def test_another_model_is_another_training():
    first = ms.DiffusionFeatures(frozen(), 2).config()
    torch.manual_seed(1)
    other = ms.EDM(1, 0, 16, 0.6, patch=2, widths=(8, 16))
    assert first["features_of"] != ms.DiffusionFeatures(other, 2).config()["features_of"]


def test_a_model_that_draws_labels_is_refused():
    with pytest.raises(ValueError, match="draws labels itself"):
        ms.DiffusionFeatures(ms.EDM(1, 2, 16, 0.6, patch=2, widths=(8, 16)), 2)
