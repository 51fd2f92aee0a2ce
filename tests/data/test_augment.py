"""Augmentation: image and label move together, and nothing leaves its range."""

import torch

from medsynth_lib.data.augment import augment, random_affine, random_intensity_curve


def test_label_follows_the_image():
    """A bright square and its label stay on the same pixels, up to interpolation at the border."""
    images = -torch.ones(32, 1, 32, 32)
    images[:, :, 8:20, 10:24] = 0.5
    labels = (images[:, 0] > 0).to(torch.uint8)
    torch.manual_seed(0)
    out = augment({"images": images, "labels": labels})
    seen = out["images"][:, 0] > -0.4
    overlap = 2 * (seen & (out["labels"] > 0)).sum() / (seen.sum() + (out["labels"] > 0).sum())
    assert overlap > 0.95
    assert not torch.equal(out["labels"], labels)


def test_a_lesion_at_the_edge_keeps_its_label():
    """The image is the label itself: wherever it is bright there is a label, and where it is dark there is none."""
    labels = torch.zeros(64, 32, 32, dtype=torch.uint8)
    labels[:32, :, :9] = 1
    labels[32:, 24:, 12:] = 1
    torch.manual_seed(0)
    out = random_affine({"images": labels[:, None].float() * 2 - 1, "labels": labels})
    image, label = out["images"][:, 0], out["labels"]
    assert not torch.equal(label, labels)
    assert (label[image > 0.999] == 1).all() and (label[image < -0.999] == 0).all()
    assert (image > 0.999).sum() > 0.8 * labels.sum()


def test_values_stay_in_range_and_background_stays_black():
    images = torch.rand(16, 2, 24, 24) * 2 - 1
    images[:, :, :4] = -1
    torch.manual_seed(1)
    out = augment({"images": images, "labels": torch.zeros(16, 24, 24, dtype=torch.uint8)})["images"]
    assert out.min() >= -1 and out.max() <= 1
    black = augment({"images": -torch.ones(4, 1, 24, 24), "labels": torch.zeros(4, 24, 24, dtype=torch.uint8)})
    assert torch.allclose(black["images"], torch.tensor(-1.0), atol=1e-5)


def test_no_new_label_values():
    labels = torch.randint(0, 2, (8, 24, 24), dtype=torch.uint8) * 3
    out = augment({"images": torch.zeros(8, 1, 24, 24), "labels": labels})["labels"]
    assert set(out.unique().tolist()) <= {0, 3} and out.dtype == torch.uint8


def test_random_curves_change_intensities_of_half_the_images_and_neither_air_nor_labels():
    ramp = torch.linspace(-0.9, 0.9, 24).expand(64, 1, 24, 24).clone()
    ramp[:, :, :6] = -1
    batch = {"images": ramp, "labels": torch.ones(64, 24, 24, dtype=torch.uint8)}
    torch.manual_seed(2)
    plain = augment(batch)
    torch.manual_seed(2)
    mapped = random_intensity_curve(batch)
    assert torch.equal(plain["labels"], mapped["labels"])
    air = plain["images"] <= -0.95
    assert torch.equal(plain["images"][air], mapped["images"][air])
    assert mapped["images"].abs().max() <= 1
    changed = (plain["images"] != mapped["images"]).flatten(1).any(1)
    assert 16 < changed.sum() < 48
    slopes = mapped["images"][changed][:, 0, 15].diff(dim=1)
    assert (slopes < -0.02).any() and (slopes > 0.02).any()  # curves that fall and curves that rise
