"""One lock for every system and Python, which pyproject.toml and the installer agree with; torchvision stays out."""

import importlib.util
import re
import subprocess
import sys
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

LOCKED, TORCH = "requirements.lock", "requirements-torch.txt"


def text(root, name) -> str:
    return (root / name).read_text(encoding="utf-8")


@pytest.fixture
def locked(root) -> list[Requirement]:
    """All lines of the lock, also those for other systems; torch last, which has a file of its own."""
    lines = [*text(root, LOCKED).splitlines(), *text(root, TORCH).splitlines()]
    return [Requirement(line.rstrip("\\ ")) for line in lines if line[:1].isalnum()]


@pytest.fixture
def pins(locked) -> dict[str, str]:
    return {requirement.name: next(iter(requirement.specifier)).version for requirement in locked}


@pytest.fixture
def project(root) -> dict:
    return tomllib.loads(text(root, "pyproject.toml"))["project"]


@pytest.fixture
def direct(project) -> dict[str, Requirement]:
    words = project["dependencies"] + project["optional-dependencies"]["test"]
    return {canonicalize_name(r.name): r for r in map(Requirement, words)}


def test_every_direct_dependency_is_pinned_within_its_bounds_on_every_system(direct, pins, locked):
    markers = {requirement.name: requirement.marker for requirement in locked}
    for name, requirement in direct.items():
        assert name in pins, f"{name} is missing in {LOCKED}; its first lines say how it is made"
        assert pins[name] in requirement.specifier and markers[name] is None


def test_every_line_of_the_lock_has_one_version_and_hashes(root, locked, pins):
    blocks = re.split(r"^(?=[a-z0-9])", text(root, LOCKED), flags=re.M)[1:]
    assert len(blocks) == len(locked) - 1 == len(pins) - 1
    for block in blocks:
        assert re.match(r"[a-z0-9.-]+==\S+", block) and "--hash=sha256:" in block


def test_torch_is_pinned_by_itself_without_a_hash(root, pins):
    """Its builds for the CPU and for CUDA come from different places; so do CUDA's packages."""
    assert [line for line in text(root, TORCH).splitlines() if not line.startswith("#")] == [f"torch=={pins['torch']}"]
    for name in pins:
        assert not name.startswith(("nvidia", "cuda", "triton")), name


def test_the_lock_is_for_three_systems(locked):
    environments = {
        "linux": {"sys_platform": "linux", "os_name": "posix"},
        "win32": {"sys_platform": "win32", "os_name": "nt"},
        "darwin": {"sys_platform": "darwin", "os_name": "posix"},
    }

    def needed(system):
        return {r.name for r in locked if r.marker is None or r.marker.evaluate(environments[system])}

    assert {"colorama", "pywinpty"} <= needed("win32") and not {"pexpect", "appnope"} & needed("win32")
    assert "pexpect" in needed("linux") and not {"colorama", "pywinpty", "appnope"} & needed("linux")
    assert "appnope" in needed("darwin")


def test_the_same_pythons_everywhere(root, project):
    install, doctor = load(root / "install.py"), "medsynth_lib/course/doctor.py"
    allowed = SpecifierSet(project["requires-python"])
    for version in ("3.10.9", "3.11.4", "3.11.5", "3.12.0", "3.13.1", "3.14.2", "3.15.0"):
        assert (version in allowed) == (not install.objection(tuple(map(int, version.split("."))))), version
    assert "PYTHONS = ((3, 11), (3, 14))" in text(root, doctor)
    assert {c for c in re.findall(r"3\.\d+", text(root, ".github/workflows/ci.yml"))} <= {
        "3.11",
        "3.12",
        "3.13",
        "3.14",
    }
    environment = yaml.safe_load(text(root, "environment.yml"))["dependencies"]
    assert environment[0].startswith("python") and environment[1:] == ["pip"], "no second list of versions"
    (conda,) = environment[:1]
    for version in ("3.11.4", "3.11.5", "3.13.1"):
        assert (version in SpecifierSet(conda.removeprefix("python"))) == (version in allowed)


def test_the_installer_takes_the_lock_with_hashes_and_torch_from_where_it_is_told(root):
    install = load(root / "install.py")
    lock, torch, project = install.steps("https://example.org/cpu")
    assert "--require-hashes" in lock and lock[-1] == str(root / LOCKED)
    assert torch == ["--index-url", "https://example.org/cpu", "-r", str(root / TORCH)]
    assert install.steps("")[1] == ["-r", str(root / TORCH)]
    assert project[-2:] == ["-e", str(root)] and "--no-deps" in project


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_torchvision_is_named_nowhere(root):
    for name in (LOCKED, TORCH, "pyproject.toml", "environment.yml"):
        names = re.findall(r"^[\s\"-]*([A-Za-z0-9_.-]+)\s*[=<>~]=", text(root, name), flags=re.M)
        unwanted = {"torchvision", "medmnist", "torch-fidelity", "clean-fid", "piq"}
        assert not unwanted & set(map(canonicalize_name, names))


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
