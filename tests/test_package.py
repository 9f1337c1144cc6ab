"""What is shipped: the wheel, the lock file, and the names that they take up on someone's machine."""

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.tree import FOLDERS, ROOT, shipped_files

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built as a release would build it, without the network."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    return zipfile.ZipFile(path)


def test_the_wheel_holds_every_file_of_the_three_folders_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    """Sync files and other data travel with the code; tests, docs and build files stay at home."""
    shipped = {path.as_posix() for path in shipped_files() if path.parts[0] in FOLDERS}
    packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert packed == shipped
    assert any(name.startswith("pipelines/syncs/") for name in packed)


def test_the_wheel_names_the_command_and_the_licence(wheel: zipfile.ZipFile) -> None:
    """Installing it gives the command `mailtrap-contacts`, and says under which terms."""
    texts = {name.rpartition(".dist-info/")[2]: name for name in wheel.namelist()}
    assert b"mailtrap-contacts = pipelines.command:run" in wheel.read(texts["entry_points.txt"])
    metadata = wheel.read(texts["METADATA"]).decode()
    assert "Name: mailtrap-contacts" in metadata and "License-Expression: Apache-2.0" in metadata
    assert "Requires-Python: <3.14,>=3.11" in metadata
    assert b"Apache License" in wheel.read(texts["licenses/LICENSE"])


def test_the_lock_names_every_dependency_with_a_version_and_hashes() -> None:
    """A set-up from the lock file gets the same bytes everywhere, whatever index serves them."""
    locked = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    entries = re.split(r"\n(?=[a-z0-9])", locked)
    without = [
        entry.splitlines()[0] for entry in entries if "==" not in entry or "--hash=sha256:" not in entry
    ]
    assert without == []
    names = {re.split(r"[\[=]", entry, maxsplit=1)[0] for entry in entries}
    extras = PROJECT["optional-dependencies"]
    wanted = [*PROJECT["dependencies"], *extras["postgres"], *extras["demo"], *extras["dev"]]
    declared = {re.split(r"[\[<>=!~; ]", line, maxsplit=1)[0].lower().replace("_", "-") for line in wanted}
    assert declared - names - {"mailtrap-contacts"} == set()


def test_the_lock_holds_no_addresses() -> None:
    """Names, versions and hashes: no registry, no path of the machine that wrote it."""
    locked = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert not re.findall(r"://|file:|^-|^\s+--(?!hash)", locked, flags=re.MULTILINE)


def test_dagster_and_its_libraries_move_in_lockstep() -> None:
    """Dagster 1.x.y goes with libraries 0.(x+16).y; any other pair has no solution or a silent old one."""
    locked = dict(
        re.findall(r"^(dagster[a-z-]*)==(\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    )
    _one, minor, patch = locked["dagster"].split(".")
    for name, version in locked.items():
        expected = (
            f"0.{int(minor) + 16}.{patch}"
            if name in ("dagster-postgres", "dagster-rest-resources")
            else locked["dagster"]
        )
        assert version == expected, name


def test_no_installed_package_shares_our_names() -> None:
    """pipelines, assets and resources are plain words: nothing else in the environment may bring them."""
    site = Path(next(path for path in sys.path if path.endswith("site-packages")))
    taken = [str(site / name) for name in FOLDERS if (site / name).exists()]
    assert taken in ([], [str(site / name) for name in FOLDERS])
