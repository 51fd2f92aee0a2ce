"""What a session varies, and what it does to the images."""

from dataclasses import replace

import numpy as np
import pytest

from medsynth_lib.data.phantom.anatomy import smooth_noise
from medsynth_lib.data.phantom.physics import CHANNELS, TISSUES, signal
from medsynth_lib.data.phantom.scan import acquire, beyond_coverage, bias_field, ghosted, new_scan
from medsynth_lib.data.phantom.variation import SITES, UNIFORM, VARIED

MASK = np.zeros((4, 32, 32), bool)
MASK[:, 4:28, 4:28] = True


def images(how=UNIFORM, seed=0, **changes) -> np.ndarray:
    """A square of white matter, its right third grey, scanned with these changes."""
    rng = np.random.default_rng(seed)
    white = np.repeat((np.arange(32) < 20)[None, None], 4, 0) * MASK.astype(np.float32)
    parts = {"white": white, "grey": MASK - white}
    return acquire(rng, replace(new_scan(rng, how), **changes), parts, MASK, 3.0)


def test_the_uniform_phantom_has_one_scanner_that_never_changes():
    found = [new_scan(np.random.default_rng(seed), UNIFORM) for seed in range(5)]
    assert {scan.site for scan in found} == {*UNIFORM.sites} and all(scan.timing == found[0].timing for scan in found)
    assert {(scan.uptake, scan.noise, scan.bias, scan.blur, scan.moved, scan.incomplete) for scan in found} == {
        (1.0, UNIFORM.sites[0].noise, UNIFORM.sites[0].bias, 0.0, "", "")
    }


def test_the_varied_phantom_follows_its_laws():
    found = [new_scan(np.random.default_rng(seed), VARIED) for seed in range(1_500)]
    for site in SITES:
        own = [scan for scan in found if scan.site is site]
        assert len(own) / 1_500 == pytest.approx(1 / len(SITES), abs=0.05)
        assert np.median([scan.noise for scan in own]) == pytest.approx(site.noise, rel=0.1)
        assert np.std([np.log(scan.bias) for scan in own]) == pytest.approx(VARIED.bias_spread, rel=0.15)
        tr, _, ti = np.array([scan.timing["FLAIR"] for scan in own]).T
        assert np.std(tr) / site.flair[0] == pytest.approx(VARIED.timing, rel=0.15)
        assert np.std(ti) / site.flair[2] == pytest.approx(VARIED.inversion, rel=0.15)
        assert min(scan.blur for scan in own) >= site.blur and max(s.blur for s in own) <= np.hypot(site.blur, 2)
    a, b = VARIED.uptake
    assert np.mean([scan.uptake for scan in found]) == pytest.approx(a / (a + b), abs=0.02)
    assert np.mean([bool(scan.moved) for scan in found]) == pytest.approx(VARIED.ghosts, abs=0.02)
    assert np.mean([bool(scan.incomplete) for scan in found]) == pytest.approx(VARIED.missing, abs=0.012)


def test_t1_before_and_after_the_contrast_agent_is_one_sequence():
    assert all(
        s.timing["T1"] == s.timing["T1ce"] for s in (new_scan(np.random.default_rng(k), VARIED) for k in range(9))
    )


def test_without_noise_and_bias_the_image_is_the_signal():
    found = images(noise=0.0, bias=0.0)
    scan = new_scan(np.random.default_rng(0), UNIFORM)
    for c, channel in enumerate(CHANNELS):
        white, grey = (signal(scan.tissues[name], channel, scan.timing[channel]) for name in ("white", "grey"))
        values = (found[:, c] + 1) / 2
        ratio = values[:, 8:24, 8:16].mean() / values[:, 8:24, 22:26].mean()
        assert ratio == pytest.approx(white / grey, rel=0.02)  # a fine texture remains
    assert (found[:, :, 0, 0] == -1).all()


def test_noise_is_as_strong_as_it_says():
    quiet, loud = ((images(noise=level, bias=0.0)[:, 0, 8:24, 8:16] + 1) / 2 for level in (0.0, 0.05))  # T1, white
    spread = [values.std() / values.mean() for values in (quiet, loud)]
    assert np.sqrt(spread[1] ** 2 - spread[0] ** 2) == pytest.approx(0.05, rel=0.1)


def test_a_blurred_edge_is_wider():
    sharp, blurred = (images(noise=0.0, bias=0.0, blur=width)[0, 0, 16] for width in (0.0, 9.0))
    assert np.abs(np.diff(sharp[8:26])).max() > 1.5 * np.abs(np.diff(blurred[8:26])).max()


def test_the_bias_field_is_as_smooth_as_one_filtered_at_full_size():
    def steps(make):
        fields = [make(np.random.default_rng(seed)) for seed in range(40)]
        return np.std([np.diff(field, axis=2) / field.std() for field in fields])

    full = steps(lambda rng: smooth_noise(rng, (6, 64, 64), (2.0, 15.0, 15.0)))
    assert steps(lambda rng: bias_field(rng, (6, 64, 64), 15.0)) == pytest.approx(full, rel=0.2)
    assert bias_field(np.random.default_rng(0), (2, 32, 32), 2.0).shape == (2, 32, 32)


def test_ghosts_are_copies_along_the_rows():
    clean = np.zeros((1, 30, 30), np.float32)
    clean[0, 15, 10] = 1
    found = ghosted(np.random.default_rng(0), clean)
    assert found[0, 15, 10] == 1 and np.count_nonzero(found) == 3 and (found[0, :, 10] > 0).sum() == 3
    moved = images(noise=0.0, bias=0.0, moved="T2")
    still = images(noise=0.0, bias=0.0)
    assert not np.allclose(moved[:, 2], still[:, 2], atol=0.02) and np.allclose(moved[:, 0], still[:, 0])


def test_missing_slices_are_empty_in_one_channel_only():
    found = images(incomplete="FLAIR")
    empty = (found == -1).all(axis=(2, 3))
    assert empty[:, 3].sum() == 1 and not empty[:, :3].any()
    spans = [beyond_coverage(np.random.default_rng(k), 8) for k in range(40)]
    assert all((s.start == 0 or s.stop == 8) and 1 <= s.stop - s.start <= 2 for s in spans)


def test_every_tissue_has_a_value():
    assert set(new_scan(np.random.default_rng(0), VARIED).tissues) == set(TISSUES)
