"""The signal equations against hand values, field strength and uptake against their laws, and Rician noise."""

import numpy as np
import pytest

from medsynth_lib.data.phantom import physics
from medsynth_lib.data.phantom.variation import SITES


def test_spin_echo_against_hand_values():
    # TR = T1: 1 - 1/e recovered; TE = T2: 1/e left
    assert physics.spin_echo(1.0, 0.1, 1.0, tr=1.0, te=0.1) == pytest.approx((1 - np.exp(-1)) * np.exp(-1))
    assert physics.spin_echo(0.83, 0.08, 0.70, 0.6, 0.012) == pytest.approx(0.7 * 0.514654 * 0.860708, rel=1e-4)


def test_inversion_recovery_vanishes_at_t1_ln2_and_recovers():
    assert physics.inversion_recovery(4.0, 2.0, 1.0, tr=1e4, te=0.0, ti=4.0 * np.log(2)) == pytest.approx(0, abs=1e-9)
    assert physics.inversion_recovery(1.0, 1e9, 0.8, tr=1e3, te=0.0, ti=1e2) == pytest.approx(0.8)
    assert physics.inversion_recovery(1.0, 1e9, 0.8, tr=1e3, te=0.0, ti=0.0) == pytest.approx(0.8)  # magnitude


@pytest.mark.parametrize("site", SITES, ids=lambda site: site.name)
def test_contrasts_are_those_a_radiologist_expects_at_every_site(site):
    tissues = {name: physics.at_field(name, tissue, site.tesla) for name, tissue in physics.TISSUES.items()}
    s = {c: {name: physics.signal(t, c, site.timing(c)) for name, t in tissues.items()} for c in physics.CHANNELS}
    assert s["T1"]["white"] > s["T1"]["grey"] > s["T1"]["csf"]
    assert s["T2"]["csf"] > s["T2"]["oedema"] > s["T2"]["grey"] > s["T2"]["white"]
    assert s["FLAIR"]["oedema"] > s["FLAIR"]["grey"] > s["FLAIR"]["csf"]
    assert s["T1ce"]["enhancing"] > 1.2 * s["T1ce"]["white"] and s["T1"]["enhancing"] < s["T1"]["white"]
    assert s["T1ce"]["tumour"] == s["T1"]["tumour"] < s["T1"]["white"], "without uptake nothing changes"
    for channel in ("T2", "FLAIR"):
        assert s[channel]["hyperintensity"] > 1.15 * s[channel]["white"], "taken for a lesion"
    assert s["FLAIR"]["csf"] < 0.25 * s["FLAIR"]["white"], "the inversion time suppresses CSF"


def test_t1_grows_with_the_field_and_csf_does_not():
    low = {name: physics.at_field(name, tissue, 1.5) for name, tissue in physics.TISSUES.items()}
    assert low["white"].t1 == pytest.approx(0.83 * 0.5 ** (1 / 3)) and low["white"].t2 == 0.080
    assert low["csf"] == physics.TISSUES["csf"]
    assert low["enhancing"].t1_contrast == physics.TISSUES["enhancing"].t1_contrast


def test_relaxation_rates_grow_in_proportion_to_the_uptake():
    tissue = physics.TISSUES["enhancing"]
    assert physics.with_uptake(tissue, 0.0).t1_contrast == pytest.approx(tissue.t1)
    assert physics.with_uptake(tissue, 1.0).t1_contrast == pytest.approx(tissue.t1_contrast)
    half = 1 / physics.with_uptake(tissue, 0.5).t1_contrast
    assert half == pytest.approx((1 / tissue.t1 + 1 / tissue.t1_contrast) / 2)


def test_tissue_values_vary_by_the_share_that_is_asked_for():
    rng = np.random.default_rng(0)
    found = np.array([physics.vary(physics.TISSUES["grey"], rng, 0.08).t1 for _ in range(2_000)]) / 1.33
    assert found.mean() == pytest.approx(1, abs=0.006) and found.std() == pytest.approx(0.08, rel=0.06)
    density = np.array([physics.vary(physics.TISSUES["grey"], rng, 0.08).pd for _ in range(2_000)]) / 0.85
    assert density.std() == pytest.approx(0.04, rel=0.06), "half as much"
    assert physics.vary(physics.TISSUES["grey"], rng, 0.0) == physics.TISSUES["grey"]


def test_noise_is_rician():
    """Without signal the magnitude is Rayleigh: mean sigma sqrt(pi / 2); with much signal it is nearly unbiased."""
    rng = np.random.default_rng(0)
    assert physics.rician(np.zeros(200_000, np.float32), 2.0, rng).mean() == pytest.approx(
        2 * np.sqrt(np.pi / 2), rel=0.01
    )
    strong = physics.rician(np.full(200_000, 100, np.float32), 2.0, rng)
    assert strong.mean() == pytest.approx(np.sqrt(100**2 + 2**2), rel=1e-3) and strong.std() == pytest.approx(
        2, rel=0.02
    )
