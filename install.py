"""Install medsynth and the locked packages into .venv: python install.py (the same on Linux, macOS and Windows).

--here               into the environment whose Python runs this (conda), not into .venv
--torch-index URL    where torch comes from, e.g. https://download.pytorch.org/whl/cpu for its small CPU build on Linux

Standard library only, and no syntax newer than f-strings: an old Python must be able to read why it does not fit.
"""

import argparse
import os
import subprocess
import sys

FOLDER = os.path.dirname(os.path.abspath(__file__))
ENVIRONMENT = os.path.join(FOLDER, ".venv")
FIRST, LAST = (3, 11, 5), (3, 14)
ASKED = "Python 3.11 (3.11.5 or later), 3.12, 3.13 or 3.14"


def objection(version):
    """Why this Python (a tuple) does not fit, in one sentence; "" when it does."""
    if version >= FIRST and version[:2] <= LAST:
        return ""
    found = ".".join(map(str, version[:3]))
    return f"Python {found} does not fit: medsynth needs {ASKED}; run install.py with one of these."


def python_of(environment):
    """The Python of a virtual environment."""
    words = ("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")
    return os.path.join(environment, *words)


def steps(torch_index):
    """pip's arguments, one list after another: the lock with its hashes, torch from its own place, this project."""
    index = ["--index-url", torch_index] if torch_index else []
    return [
        ["--no-deps", "--require-hashes", "-r", os.path.join(FOLDER, "requirements.lock")],
        index + ["-r", os.path.join(FOLDER, "requirements-torch.txt")],
        ["--no-deps", "--no-build-isolation", "-e", FOLDER],
    ]


def main(arguments=None):
    shape = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="install.py", description=__doc__, formatter_class=shape)
    parser.add_argument("--here", action="store_true")
    parser.add_argument("--torch-index", default="", metavar="URL")
    asked = parser.parse_args(arguments)
    reason = objection(tuple(sys.version_info[:3]))
    if reason:
        print(reason)
        return 2
    if sys.version_info[:2] == (3, 14):
        print("on Python 3.14 one package (immutables, of snakemake) is compiled: a C compiler is needed")
    where = "this Python" if asked.here else ".venv"
    print(f"installing the pinned packages into {where} (once, a few minutes)")
    sys.stdout.flush()
    if not asked.here:
        subprocess.check_call([sys.executable, "-m", "venv", ENVIRONMENT])
    pip = [sys.executable if asked.here else python_of(ENVIRONMENT), "-m", "pip", "install", "--quiet"]
    for words in steps(asked.torch_index):
        if subprocess.call(pip + ["--disable-pip-version-check"] + words):
            print("the installation stopped (see pip's words above); mend that and run it again.")
            return 1
    if not asked.here:
        open(os.path.join(ENVIRONMENT, ".stamp"), "wb").close()
        print(f"done; next: {os.path.relpath(python_of(ENVIRONMENT))} -m medsynth_lib doctor")
    return 0


if __name__ == "__main__":
    sys.exit(main())
