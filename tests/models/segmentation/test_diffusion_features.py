"""A decoder on a frozen diffusion model: it learns, the model stays, and one image has one answer."""

import pytest
import torch

import medsynth_lib as ms
from medsynth_lib.models.segmentation.diffusion_features import Decoder


def frozen():
    torch.manual_seed(0)
    return ms.EDM(1, 0, 16, 0.6, patch=2, widths=(8, 16))


def squares(n=12):
    """A bright square somewhere; its pixels are label 1."""
    labels = torch.zeros(n, 16, 16, dtype=torch.uint8)
    for k in range(n):
        labels[k, k % 6 + 2 : k % 6 + 7, k % 5 + 3 : k % 5 + 8] = 1
    return {"images": labels[:, None].float() * 1.2 - 0.6, "labels": labels}


def test_features_begin_with_the_image_and_do_not_change():
    reader, images = ms.DiffusionFeatures(frozen(), 2), squares()["images"]
    maps, again, alone = (reader.features(x) for x in (images, images, images[3:4]))
    assert torch.equal(maps[0], images) and len(maps) == 1 + 2 * 4, "two levels: middle, two blocks, image"
    assert all(torch.equal(x, y) for x, y in zip(maps, again, strict=True))
    assert all(torch.allclose(x[3:4], y, atol=1e-5) for x, y in zip(maps, alone, strict=True)), "alone or in a batch"


def test_reading_before_enlarging_is_the_same_as_after():
    torch.manual_seed(0)
    decoder = Decoder([3, 5], 4, 2)
    decoder.decide = torch.nn.Identity()
    maps = [torch.randn(1, 3, 8, 8), torch.randn(1, 5, 4, 4)]
    large = torch.nn.functional.interpolate(maps[1], (8, 8), mode="bilinear")
    after = decoder.read[0](maps[0]) + decoder.read[1](large)
    assert torch.allclose(decoder(maps), after, atol=1e-5)


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
    first = ms.DiffusionFeatures(frozen(), 2).arguments()
    torch.manual_seed(1)
    other = ms.EDM(1, 0, 16, 0.6, patch=2, widths=(8, 16))
    assert first["features_of"] != ms.DiffusionFeatures(other, 2).arguments()["features_of"]


def test_a_model_that_draws_labels_is_refused():
    with pytest.raises(ValueError, match="has labels of its own"):
        ms.DiffusionFeatures(ms.EDM(1, 2, 16, 0.6, patch=2, widths=(8, 16)), 2)
