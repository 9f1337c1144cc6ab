"""Files that a person asks for: for their owner alone, whole or not at all."""

import os
from pathlib import Path

import pytest

from resources.home import private_file


def test_a_file_is_private_whatever_the_umask(tmp_path: Path) -> None:
    """A plan, a picture: the umask of whoever types the command decides nothing."""
    former = os.umask(0)
    try:
        with private_file(tmp_path / "plan.json") as stream:
            stream.write(b"{}")
    finally:
        os.umask(former)
    assert (tmp_path / "plan.json").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "plan.json").read_bytes() == b"{}"


def test_what_fails_in_the_middle_leaves_the_former_file(tmp_path: Path) -> None:
    """And nothing beside it."""
    (tmp_path / "plan.json").write_bytes(b"former")
    with pytest.raises(ZeroDivisionError), private_file(tmp_path / "plan.json") as stream:
        stream.write(b"half")
        raise ZeroDivisionError
    assert [path.name for path in tmp_path.iterdir()] == ["plan.json"]
    assert (tmp_path / "plan.json").read_bytes() == b"former"


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    """Who put a link there does not get to say what is overwritten."""
    (tmp_path / "other").write_bytes(b"other")
    (tmp_path / "plan.json").symlink_to(tmp_path / "other")
    with private_file(tmp_path / "plan.json") as stream:
        stream.write(b"{}")
    assert (tmp_path / "other").read_bytes() == b"other"
    assert not (tmp_path / "plan.json").is_symlink()
