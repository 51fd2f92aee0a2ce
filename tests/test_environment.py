"""pyproject.toml, constraints.txt and environment.yml say the same, and torchvision stays out."""

import importlib.util
import re
import subprocess
import sys
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


@pytest.fixture
def pins(root) -> dict[str, str]:
    lines = (root / "constraints.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


@pytest.fixture
def direct(root) -> dict[str, Requirement]:
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    words = project["dependencies"] + project["optional-dependencies"]["test"]
    return {canonicalize_name(r.name): r for r in map(Requirement, words)}


def test_every_direct_dependency_is_pinned_within_its_bounds(direct, pins):
    for name, requirement in direct.items():
        assert name in pins, f"{name} is missing in constraints.txt"
        assert pins[name] in requirement.specifier


def test_torch_is_pinned_first(pins):
    assert next(iter(pins)) == "torch"


def test_environment_yml_is_the_same_set(root, direct, pins):
    environment = yaml.safe_load((root / "environment.yml").read_text())
    words = next(entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))
    assert words[0] == "-c constraints.txt" and words[-1] == "-e ."
    listed = dict(word.split("==") for word in words[1:-1])
    assert listed == {name: pins[name] for name in direct}


def test_torchvision_is_named_nowhere(root):
    for name in ("constraints.txt", "pyproject.toml", "environment.yml"):
        names = re.findall(r"^[\s\"-]*([A-Za-z0-9_.-]+)\s*[=<>~]=", (root / name).read_text(), flags=re.M)
        assert not {"torchvision", "medmnist", "torch-fidelity", "clean-fid", "piq"} & set(
            map(canonicalize_name, names)
        )


def test_torchvision_if_present_must_work():
    """Some other package may have pulled it in: the message says what to do."""
    if importlib.util.find_spec("torchvision") is None:
        return
    done = subprocess.run([sys.executable, "-c", "import torchvision"], capture_output=True, text=True)
    assert done.returncode == 0, (
        "the installed torchvision does not fit torch and breaks diffusers: pip uninstall torchvision"
    )


def test_a_broken_torchvision_is_named_when_a_notebook_starts(tmp_path, monkeypatch):
    from medsynth_lib.experiment import run as runs

    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").write_text(
        "raise RuntimeError('operator torchvision::nms does not exist')"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "torchvision", raising=False)
    with pytest.raises(RuntimeError, match="torchvision does not fit torch .* pip uninstall torchvision"):
        runs.refuse_broken_torchvision()


def test_installed_versions_are_the_pinned_ones(pins):
    """A hint when somebody's environment has drifted; local builds such as 2.13.0+cpu count as 2.13.0."""
    from importlib.metadata import PackageNotFoundError, version

    drifted = {}
    for name, pin in pins.items():
        try:
            found = version(name).split("+")[0]
        except PackageNotFoundError:
            continue  # only needed on another Python or system
        if found != pin:
            drifted[name] = f"{found} instead of {pin}"
    assert not drifted, f"{drifted}; make clean, then make test"
