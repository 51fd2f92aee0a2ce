"""What the features must and must not notice."""

import numpy as np
import pytest
from disc_images import disc_images

from medsynth_lib.metrics.features import FeatureSpace, LayoutSpace, features, shrink
from medsynth_lib.metrics.fidelity import frechet_distance


def test_features_refuse_nan_and_survive_constant_images():
    assert np.isfinite(features(np.full((3, 1, 32, 32), -1, np.float32))).all()
    with pytest.raises(ValueError, match="NaN"):
        features(np.full((3, 1, 32, 32), np.nan, np.float32))


def test_shrinking_is_block_means():
    images = np.arange(2 * 128 * 128, dtype=np.float32).reshape(1, 2, 128, 128)
    assert shrink(images).shape == (1, 2, 64, 64)
    assert shrink(images)[0, 0, 0, 0] == images[0, 0, :2, :2].mean()


def test_an_artefact_that_no_real_image_has_leaves_the_plane_of_the_components():
    train, holdout, fresh = disc_images(200, 0), disc_images(120, 1), disc_images(150, 5)
    checker = 0.03 * ((np.indices((32, 32)).sum(0) % 2) * 2 - 1)
    space = FeatureSpace(train, dimensions=4)
    a, b, bad = space(train), space(holdout), space((fresh + checker).astype(np.float32))
    assert a.shape == (200, 4) and np.allclose(a.mean(0), 0, atol=1e-6) and np.allclose(a.std(0), 1, atol=1e-3)
    assert frechet_distance(bad, b) > 5 * frechet_distance(a, b)


def test_channels_that_do_not_belong_together_are_seen():
    two = np.concatenate([disc_images(300, 0), -disc_images(300, 0)], axis=1)  # the same anatomy in both channels
    mixed = np.concatenate([two[:, :1], two[np.random.default_rng(0).permutation(300), 1:]], axis=1)
    space = FeatureSpace(two[:150], dimensions=8)
    real, torn = space(two[150:]), space(mixed[150:])
    assert frechet_distance(torn, real) > 5 * frechet_distance(space(two[:150]), real)


def test_layout_space_is_a_projection_of_block_means_and_blind_to_texture():
    train, other = disc_images(200, 0), disc_images(100, 1)
    space = LayoutSpace(train, dimensions=64)  # all directions of 8 x 8 block means: distances are kept
    blocks = [x.reshape(len(x), 8, 4, 8, 4).mean((2, 4)).reshape(len(x), -1) for x in (train[:, 0], other[:, 0])]
    ours = np.linalg.norm(space(train)[:20] - space(other)[:20], axis=1)
    assert ours == pytest.approx(np.linalg.norm(blocks[0][:20] - blocks[1][:20], axis=1), rel=1e-5)

    space = LayoutSpace(train)
    noise = 0.1 * np.random.default_rng(2).standard_normal(other.shape).astype(np.float32)
    subject = np.linalg.norm(space(other)[:50] - space(other)[50:], axis=1).mean()
    assert np.linalg.norm(space(other + noise) - space(other), axis=1).mean() < 0.15 * subject
