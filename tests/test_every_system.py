"""Nothing in the library is for Linux or macOS alone: its syntax trees are read for what Windows does not have.

This is no proof that it runs there; it finds what is known to break.
"""

import ast
import os
import re

import pytest

from medsynth_lib.core.provenance import LIBRARY
from medsynth_lib.course.notebooks import NOTEBOOKS
from medsynth_lib.data import registry
from medsynth_lib.experiment.profiles import PROFILES
from medsynth_lib.models.registry import names
from medsynth_lib.studies import memorization_plan, segmentation_plan

MODULES = {"crypt", "fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"}
OS = """fork forkpty getgid getloadavg getpgid getppid getuid geteuid killpg mkfifo nice pipe2 rename setsid
sched_getaffinity sched_setaffinity uname wait wait3 wait4"""
SIGNAL = "SIGALRM SIGCHLD SIGHUP SIGKILL SIGPIPE SIGQUIT SIGUSR1 SIGUSR2 alarm pause setitimer"
CALLS = {"os": {*OS.split()}, "signal": {*SIGNAL.split()}}
PLACES = ("/dev/", "/proc/", "/tmp", "/var/")
KEYWORDS = {"pass_fds", "preexec_fn"}
# Path.rename does not replace a file on Windows: os.replace does. These rename folders whose target was removed before.
RENAMES = {"data/decathlon.py", "data/stored.py", "evaluation/release.py"}
FILES = {path.relative_to(LIBRARY).as_posix(): path for path in sorted(LIBRARY.rglob("*.py"))}


def found_in(source: str, file: str = "") -> list[str]:
    """What in a Python text does not work on every system, with line numbers."""
    return [f"line {node.lineno}: {why}" for node in ast.walk(ast.parse(source)) for why in faults(node, file)]


def faults(node: ast.AST, file: str):
    if isinstance(node, ast.Import):
        yield from (f"imports {name.name}" for name in node.names if name.name in MODULES)
    elif isinstance(node, ast.ImportFrom) and not node.level:
        yield from [f"imports {node.module}"] if node.module in MODULES else []
        yield from (f"{node.module}.{n.name}" for n in node.names if n.name in CALLS.get(node.module, ()))
    elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        yield from [f"{node.value.id}.{node.attr}"] if node.attr in CALLS.get(node.value.id, ()) else []
    elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith(PLACES):
        yield f"the path {node.value!r}"
    elif isinstance(node, ast.Call):
        yield from of_call(node, file)


def of_call(call: ast.Call, file: str):
    given = {word.arg: word.value for word in call.keywords}
    yield from (f"{word}=" for word in KEYWORDS & given.keys())
    if isinstance(given.get("shell"), ast.Constant) and given["shell"].value is True:
        yield "shell=True"
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    if name in ("get_context", "set_start_method") and any(ast.unparse(word) == "'fork'" for word in call.args):
        yield "processes by fork"
    if name == "rename" and len(call.args) == 1 and not given and file not in RENAMES:
        yield "rename where a file may be: os.replace"
    if (
        name in ("read_text", "write_text")
        and "encoding" not in given
        and len(call.args) < (2 if name[0] == "w" else 1)
    ):
        yield f"{name} without encoding"
    if (name == "open" and isinstance(call.func, ast.Name)) or ast.unparse(call.func) == "os.fdopen":
        mode = given.get("mode") or (call.args[1] if len(call.args) > 1 else ast.Constant("r"))
        if "encoding" not in given and not (isinstance(mode, ast.Constant) and "b" in mode.value):
            yield "a text file opened without encoding"


@pytest.mark.parametrize("file", FILES)
def test_the_library_uses_nothing_of_one_system(file):
    assert not found_in(FILES[file].read_text(encoding="utf-8"), file)


@pytest.mark.parametrize(
    "source",
    [
        "import fcntl",
        "from resource import getrusage",
        "import os; os.fork()",
        "from os import getppid",
        "import signal; signal.SIGKILL",
        "x = '/tmp/x'",
        "open('/dev/null', 'wb')",
        "subprocess.run('ls', shell=True)",
        "subprocess.run(words, pass_fds=[3])",
        "open(path)",
        "open(path, 'w')",
        "path.read_text()",
        "path.write_text(text)",
        "os.rename(a, b)",
        "part.rename(path)",
        "multiprocessing.get_context('fork')",
    ],
)
def test_it_would_be_found(source):
    assert found_in(source)


@pytest.mark.parametrize(
    "source",
    [
        "import os; os.replace(a, b); os.getpid()",
        "open(path, 'rb'); open(path, encoding='utf-8'); path.read_text(encoding='utf-8')",
        "open(os.devnull, 'wb'); subprocess.run(words, shell=False)",
        "table.rename(columns=new)",
    ],
)
def test_what_works_everywhere_is_let_pass(source):
    assert not found_in(source)


REFUSED = re.compile(r'[<>:"\\|?*\x00-\x1f]|[. ](/|$)')


def test_windows_takes_every_folder_name_of_a_run(tmp_path):
    """Each part of a path: none of the signs that it refuses, and no dot or space in the end."""
    odd = tmp_path / "my data. (new)"
    odd.mkdir()
    paths = [*NOTEBOOKS, registry.key(f"brats:{odd}"), registry.key(f"folder:{odd}"), registry.key("phantom")]
    for name, settings in PROFILES.items():
        known = names("generator")
        paths += [name, *(case.path for case in memorization_plan.cases(settings.memorization))]
        paths += [job.path for job in segmentation_plan.jobs(settings.segmentation, known, names("segmenter"))]
    assert len(paths) > 100 and not [path for path in paths if REFUSED.search(path)]
    assert REFUSED.search("brats:x") and REFUSED.search("a./b") and not REFUSED.search("arms/unet/real_+_edm/0")


def test_a_windows_path_may_follow_the_name_of_a_source(monkeypatch, tmp_path):
    """Only the first colon separates."""
    monkeypatch.chdir(tmp_path)
    folder = "C:data" if os.name != "nt" else str(tmp_path)
    os.makedirs(folder, exist_ok=True)
    name, path = registry.check(f"brats:{folder}")
    assert name == "brats" and path.is_dir()
