"""The files of sizes: complete, ordered, and a user's own file checked before anything starts."""

import subprocess
import sys
import tomllib
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import pytest

from medsynth_lib.data.slices import split_subjects
from medsynth_lib.experiment import profiles
from medsynth_lib.experiment import run as runs
from medsynth_lib.experiment.profiles import MINUTES, PROFILES, checks, minutes, name_of, profile, source_of
from medsynth_lib.studies import memorization, segmentation
from medsynth_lib.studies.memorization_plan import THINNED

FOLDER = Path(profiles.__file__).parent


@pytest.fixture
def own(tmp_path):
    """Writes a user's file; returns its path as a word of a command line."""

    def write(text: str, name: str = "mine.toml") -> str:
        (tmp_path / name).write_text(text, encoding="utf-8")
        return str(tmp_path / name)

    return write


# ---- what is shipped
def test_the_profiles_grow():
    assert list(PROFILES) == ["smoke", "demo", "reference", "gpu", "paper", "family"] == list(MINUTES)
    names = ["smoke", "demo", "gpu", "paper"]
    for small, large in zip(names, names[1:], strict=False):
        a, b = PROFILES[small], PROFILES[large]
        assert a.data.image_size < b.data.image_size
        assert a.diffusion.images < b.diffusion.images and a.segmentation.steps < b.segmentation.steps


@pytest.mark.parametrize("name", PROFILES)
def test_sizes_fit_together(name):
    sizes = PROFILES[name]
    size, levels = sizes.data.image_size, len(sizes.diffusion.widths)
    assert size & (size - 1) == 0, "VAE and GAN halve the image down to 4 pixels"
    assert size // sizes.diffusion.patch >= 2 ** (levels - 1)
    assert all(width % 8 == 0 for width in sizes.diffusion.widths), "group norm with 8 groups"


def test_a_profile_cannot_be_changed_or_get_unknown_keys():
    with pytest.raises(FrozenInstanceError):
        PROFILES["demo"].synthetic = 3
    with pytest.raises(TypeError, match="unexpected keyword"):
        replace(PROFILES["demo"].vae, betta=2.0)


def test_unknown_profile_lists_the_known():
    known = "known profiles: smoke, demo, reference, gpu, paper, family, or the path of a .toml file"
    for ask in (profile, minutes, name_of, source_of):
        with pytest.raises(ValueError, match=known):
            ask("large")


def test_reference_weights_are_made_from_the_demos_data():
    assert PROFILES["reference"].data == PROFILES["demo"].data


def test_the_family_is_compared_at_equal_images():
    sizes = PROFILES["family"]
    assert sizes.dcgan.images == sizes.stylegan.images and len(sizes.stylegan.trained) == 4
    assert sizes.data == PROFILES["demo"].data


@pytest.mark.parametrize("name", ["reference", "family"])
def test_files_with_a_base_hold_only_what_differs(name):
    written = tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))
    base = tomllib.loads((FOLDER / f"{written.pop('base')}.toml").read_text(encoding="utf-8"))
    for section, keys in written.items():
        assert keys and all(base[section][key] != value for key, value in keys.items())


@pytest.mark.parametrize("name", [name for name in PROFILES if name not in ("reference", "family")])
def test_whole_files_name_every_size(name):
    written = tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))
    written.pop("minutes", None)
    sizes = PROFILES[name].as_dict()
    assert written.keys() == sizes.keys()
    assert all(written[key].keys() == value.keys() for key, value in sizes.items() if isinstance(value, dict))


def test_reading_needs_no_torch():
    code = "import sys; from medsynth_lib.experiment import profiles; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_the_files_are_packaged(root):
    packaged = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    assert packaged["medsynth_lib.experiment.profiles"] == ["*.toml"]


def test_the_rules_know_the_numbers_of_others():
    assert checks.THINNED == THINNED
    assert split_subjects.__defaults__[0][1:] == (checks.HELD_OUT,) * 2


# ---- a user's own file
THREE = 'base = "gpu"\n[diffusion]\nimages = 200_000\nlearning_rate = 1\n[segmentation]\nsegmenters = ["unet"]\n'


def test_a_file_changes_three_lines_of_its_base(own):
    found, base = profile(own(THREE)), PROFILES["gpu"]
    changed = replace(
        base,
        diffusion=replace(base.diffusion, images=200_000, learning_rate=1.0),
        segmentation=replace(base.segmentation, segmenters=("unet",)),
    )
    assert found == changed and isinstance(found.diffusion.learning_rate, float)
    assert found.fingerprint() != base.fingerprint() == PROFILES["gpu"].fingerprint()


def test_its_runs_have_its_stem_and_jobs_its_absolute_path(own, monkeypatch, tmp_path):
    path = own(THREE)
    monkeypatch.chdir(tmp_path)
    assert name_of("mine.toml") == "mine" == name_of(path) and source_of("mine.toml") == str(Path(path).resolve())
    assert (name_of("gpu"), source_of("gpu")) == ("gpu", "gpu")
    assert profile("mine.toml") == profile(path)


def test_a_base_may_be_another_file_beside_it(own):
    own(THREE)
    found = profile(own('base = "mine.toml"\nsynthetic = 7\n', "other.toml"))
    assert (found.synthetic, found.diffusion.images) == (7, 200_000)


def test_a_file_without_base_is_whole(own):
    text = (FOLDER / "smoke.toml").read_text(encoding="utf-8")
    assert profile(own(text)) == PROFILES["smoke"]
    with pytest.raises(ValueError, match=r"mine\.toml: \[vae\] beta is missing; give it, or name a base"):
        profile(own(text.replace("beta = 1.0\n", "", 1)))


def test_minutes_are_its_own_and_not_its_bases(own):
    assert minutes("demo")["together"] > 60 and minutes("gpu") == {}
    assert minutes(own('base = "demo"\n')) == {}
    assert minutes(own('base = "demo"\n[minutes]\n01_vae = 2.5\n')) == {"01_vae": 2.5}


REFUSED = {
    "[vae]\nbetta = 2.0": r"\[vae\]: betta is an unknown key; did you mean beta\?",
    "[vea]\nbeta = 2.0": "vea is an unknown section; did you mean vae",
    "nonsense = 1": "nonsense is an unknown key; known here: synthetic, bootstrap, data",
    "vae = 3": r"vae is 3; write it as a section \[vae\]",
    "synthetic = true": "synthetic is True; write a whole number",
    "synthetic = 1.5": "synthetic is 1.5; write a whole number",
    '[vae]\nbeta = "2"': r"\[vae\] beta is '2'; write a number",
    "[diffusion]\nattention = 1": "attention is 1; write true or false",
    "[diffusion]\nprediction_type = 1": "prediction_type is 1; write a word in quotes",
    "[diffusion]\nwidths = 64": r"widths is 64; write a list of values in brackets",
    "[diffusion]\nwidths = [64, 96.0]": "widths is 96.0; write a whole number",
    "[stylegan]\nstylegan3_channels = [8]": r"stylegan3_channels is \[8\]; write a list of 2 values",
    "[diffusion]\nwidths = []": "write at least one value",
    "[vae]\nimages = 0": r"\[vae\] images is 0; write a number above 0",
    "[vae]\nbatch_size = -1": "batch_size is -1; write no negative number",
    "[vae]\nlearning_rate = inf": "learning_rate is inf; write a finite number",
    "[stylegan]\ntrained = ['stylegan4']": "choose from progan, stylegan1",
    "[segmentation]\nsegmenters = ['unnet']": "choose from unet, dynunet, swin",
    "[segmentation]\nplain = ['emd']": "choose from vae, dcgan",
    "[segmentation]\nstudied = 'emd'": 'or "" for none',
    "[diffusion]\nprediction_type = 'image'": "write edm or sample",
    "[data]\nimage_size = 96": "image_size is 96; take a power of two from 32 on",
    "[vae]\nwidth = 12": "width is 12; take a multiple of 8",
    "[stylegan]\npatch = 3": "patch is 3; take a power of two up to 4",
    "[stylegan]\nd_patch = 16": "d_patch is 16; take a power of two up to 8",
    "[stylegan]\nfmap_max = 8": "fmap_max is 8; take at least the width, 16",
    "[stylegan]\nstylegan3_channels = [64, 8]": "write the width, then a fmap_max not below it",
    "[stylegan]\nstylegan3_first_cutoff = 40": "stylegan3_first_cutoff is 40.0; take less than 32",
    "[translation]\npatch = 8": "patch is 8; take 1, 2 or 4",
    "[translation]\ndiscriminator_layers = 5": "discriminator_layers is 5; take fewer at image_size 64",
    "[diffusion]\npatch = 3": r"\[diffusion\] patch is 3; take a divisor of image_size, 64",
    "[diffusion]\nwidths = [8, 8, 8, 8, 8, 8, 8]\n[spatial]\ntile = 64": "take at most 6 levels, because",
    "[diffusion]\nwidths = [60]": "take multiples of 8",
    "[diffusion]\nattention = true\nwidths = [16]": "take at least 32 at the lowest level for attention",
    "[latent]\nwidth = 4": r"\[latent\] width is 4; take at least 8",
    "[ablation]\nnfe = [2]": "take numbers from 4 to 1000",
    "[ablation]\nancestral_steps = 1_001": "take at most 1000",
    "[spatial]\nautoencoder_patch = 3": "twice its value must divide image_size, 64",
    "[spatial]\nautoencoder_width = 4": "autoencoder_width is 4; take a multiple of 8",
    "[spatial]\nwidths = [32, 32, 32, 32, 32, 32]": "take at most 5 levels, because latents have 16 positions",
    "[spatial]\ntile = 128": "tile is 128; take an even number up to image_size, 64",
    "[spatial]\ntile = 20": "tile is 20; take a multiple of 8",
    "[spatial]\ncost_image_sizes = [16]": "take multiples of 8 from the tile's 32 pixels on",
    "[memorization]\nimage_size = 128": r"\[memorization\] image_size is 128; take a power of two from 16 to",
    "[memorization]\nwidths = [8]": "take multiples of 16, because one mitigation halves them",
    "[memorization]\nsubjects = [200]": "take at most 180, the training subjects among 300",
    "[memorization]\nmitigated = 50": "mitigated is 50; take at most 45, with 180 training subjects",
    "[data]\nsubjects = 2": "subjects is 2; take at least 3",
    "[segmentation]\nwidths = [8, 8, 8, 8, 8, 8, 8]": "take at most 6 levels at image_size 64",
    "[segmentation]\nswin_width = 20": "take a multiple of 12",
    "[segmentation]\nown = [10]": "take numbers that are in subjects, or 0 for all",
    "[segmentation]\namounts_at = [4]": "take numbers that are in subjects",
    "[rare]\nimbalance_ratio = 1e6": "take a number from 1 to head_images, 1000",
    "[minutes]\n01_vae = 0": r"\[minutes\] 01_vae is 0; write a number above 0",
    "[minutes]\nvae = 3": "vae is no notebook; write a name such as 01_vae",
    "minutes = 3": r"write it as a section \[minutes\]",
    "[vae": "is not valid TOML",
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_cannot_work_is_refused_in_one_sentence_with_file_key_and_mend(own, text):
    with pytest.raises(ValueError, match=REFUSED[text]) as caught:
        profile(own('base = "demo"\n' + text))
    said = str(caught.value)
    assert "mine.toml" in said and "\n" not in said and said[-1] in ".?"


def test_swin_needs_pictures_that_fit(own):
    with pytest.raises(ValueError, match="swin needs an image_size from 64 on, not 32"):
        profile(own('base = "smoke"\n[segmentation]\nsegmenters = ["swin"]\n'))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('base = "huge"', "base is 'huge'; write one of smoke, demo"),
        ("base = 3", "base is 3; write one of"),
        ('base = "gone.toml"', "gone.toml cannot be read"),
        ('base = "mine.toml"', "leads back to the same file"),
    ],
)
def test_a_base_that_leads_nowhere_is_refused(own, text, words):
    with pytest.raises(ValueError, match=words):
        profile(own(text))


def test_names_that_cannot_be_a_run_folder_are_refused(own):
    with pytest.raises(ValueError, match="a profile named demo is shipped; give the file another name"):
        profile(own(THREE, "demo.toml"))
    for name in ("my own.toml", ".toml", "-x.toml", "a:b.toml"):
        with pytest.raises(ValueError, match="letters, digits, - and _ only|path of a .toml file"):
            name_of(name)
    with pytest.raises(ValueError, match=r"gone\.toml cannot be read \(No such file"):
        profile("gone.toml")


# ---- where it is used
@pytest.mark.parametrize("way", ["parameter", "MEDSYNTH_PROFILE"])
def test_a_run_starts_with_a_file(own, tmp_path, monkeypatch, capsys, way):
    path = own('base = "smoke"\n[vae]\nimages = 32\n')
    monkeypatch.setenv("MEDSYNTH_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("MEDSYNTH_PROFILE", path if way == "MEDSYNTH_PROFILE" else "")
    monkeypatch.chdir(tmp_path)
    run = runs.start("01_vae") if way == "MEDSYNTH_PROFILE" else runs.start("01_vae", "mine.toml")
    assert (run.profile, run.profile_source, run.settings.vae.images) == ("mine", str(Path(path).resolve()), 32)
    assert run.folder == tmp_path / "runs/mine/phantom/seed0/01_vae" == runs.run_folder(path, "phantom", 0) / "01_vae"
    assert f"profile mine (from {way}, {Path(path).resolve()})" in capsys.readouterr().out


def test_a_bad_file_stops_before_a_folder_is_made(own, tmp_path, monkeypatch):
    monkeypatch.setenv("MEDSYNTH_RUNS", str(tmp_path / "runs"))
    with pytest.raises(ValueError, match="synthetic is 0"):
        runs.start("01_vae", own('base = "smoke"\nsynthetic = 0\n'))
    assert not (tmp_path / "runs").exists()


def test_jobs_of_the_studies_find_the_file(own, tmp_path, monkeypatch):
    monkeypatch.setenv("MEDSYNTH_RUNS", str(tmp_path / "runs"))
    path = own('base = "smoke"\n')
    run = runs.start("10_memorization", path)
    monkeypatch.setattr(runs.Run, "data_hashes", lambda self: {})
    monkeypatch.setattr(segmentation.report, "trained_generators", lambda run: {})
    for study in (memorization, segmentation):
        monkeypatch.setattr(study, "completed", lambda planned, look, job: job(planned[0]).args)
        assert study.results(run)[1] == str(Path(path).resolve())
