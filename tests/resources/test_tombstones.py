"""Tombstones: kept twice, brought together again, and worth nothing under another key."""

from pathlib import Path

import pytest

from resources import tombstones
from resources.database import open_engine
from resources.errors import SettingsError
from resources.home import open_home
from resources.journal import Journal
from resources.lake import Lake

KEY = "k" * 32
ONE, TWO = b"1" * 16, b"2" * 16


def test_they_are_in_the_file_and_in_the_journal(tmp_path: Path) -> None:
    """The last state counts, and only the owner can read the file."""
    home, journal = open_home(tmp_path, KEY), Journal(open_engine("sqlite://"))
    tombstones.bury(home, journal, [ONE, TWO], state="begun")
    tombstones.bury(home, journal, [ONE], state="erased")
    assert journal.tombstones() == {ONE: "erased", TWO: "begun"}
    assert (tmp_path / tombstones.FILE).stat().st_mode & 0o777 == 0o600
    fresh = Journal(open_engine("sqlite://"))
    assert tombstones.bring_together(home, fresh) == 2
    assert fresh.tombstones() == {ONE: "erased", TWO: "begun"}
    journal.close()
    fresh.close()


def test_a_line_cut_short_by_a_power_cut_is_passed_over(tmp_path: Path) -> None:
    """Half a line names nobody, and does not keep the others from being read."""
    home, journal = open_home(tmp_path, KEY), Journal(open_engine("sqlite://"))
    tombstones.bury(home, journal, [ONE], state="erased")
    with (tmp_path / tombstones.FILE).open("a") as stream:
        stream.write(TWO.hex()[:9])
    fresh = Journal(open_engine("sqlite://"))
    assert tombstones.bring_together(home, fresh) == 1
    journal.close()
    fresh.close()


def test_another_key_recognises_nobody_and_so_nothing_starts(tmp_path: Path) -> None:
    """A sync under another key would bring every erased person back."""
    journal = Journal(open_engine("sqlite://"))
    tombstones.bury(open_home(tmp_path, KEY), journal, [ONE], state="erased")
    with pytest.raises(SettingsError, match="Restore the former key"):
        tombstones.bring_together(open_home(tmp_path, "another key of the same length.."), journal)
    journal.close()


def test_whoever_looks_twice_knows_whether_an_erasure_came_in_between(tmp_path: Path) -> None:
    """Also when the same person is erased again: runs do their work anew."""
    moments = iter(range(1, 100))
    journal = Journal(open_engine("sqlite://"), clock=lambda: float(next(moments)))
    seen = [journal.erasures()]
    for state in ("begun", "deleted", "erased", "begun"):
        tombstones.bury(open_home(tmp_path, KEY), journal, [ONE], state=state)
        seen.append(journal.erasures())
    assert len(set(seen)) == 5
    journal.close()


def test_each_place_gets_back_what_another_one_knows(tmp_path: Path) -> None:
    """Home, journal, lake and CONTACTS_TOMBSTONES: whichever is left brings all the others up to date."""
    lake, elsewhere = Lake(tmp_path / "lake"), Lake(tmp_path / "elsewhere")
    first = open_home(tmp_path / "home", KEY), Journal(open_engine("sqlite://"))
    tombstones.bury(*first, [ONE], state="begun")
    tombstones.bury(*first, [ONE, TWO], state="erased")
    assert tombstones.bring_together(*first, (lake, elsewhere)) == 0
    for kept in (lake, elsewhere):
        fresh = open_home(tmp_path / "homes" / Path(kept.root).name, KEY), Journal(open_engine("sqlite://"))
        assert tombstones.bring_together(*fresh, (kept,)) == 2
        assert fresh[1].tombstones() == {ONE: "erased", TWO: "erased"}
        assert tombstones.bring_together(fresh[0], Journal(open_engine("sqlite://"))) == 2
    assert (tmp_path / "elsewhere" / tombstones.COPY).stat().st_mode & 0o777 == 0o600


def test_a_copy_under_another_key_stops_the_start_too(tmp_path: Path) -> None:
    """It would protect nobody."""
    lake = Lake(tmp_path / "lake")
    home, journal = open_home(tmp_path / "a", KEY), Journal(open_engine("sqlite://"))
    tombstones.bury(home, journal, [ONE], state="erased")
    tombstones.bring_together(home, journal, (lake,))
    with pytest.raises(SettingsError, match="Restore the former key"):
        tombstones.bring_together(
            open_home(tmp_path / "b", "another key of the same length.."),
            Journal(open_engine("sqlite://")),
            (lake,),
        )


def test_half_a_line_does_not_swallow_the_next_one(tmp_path: Path) -> None:
    """After a power cut the file goes on with a whole line."""
    home, journal = open_home(tmp_path, KEY), Journal(open_engine("sqlite://"))
    tombstones.bury(home, journal, [ONE], state="erased")
    with (tmp_path / tombstones.FILE).open("a") as stream:
        stream.write(TWO.hex()[:9])
    tombstones.bury(home, journal, [TWO], state="begun")
    assert tombstones.bring_together(home, Journal(open_engine("sqlite://"))) == 2


@pytest.mark.parametrize("target", ["there", "nowhere"])
def test_a_link_in_the_place_of_the_file_is_refused_in_our_words(tmp_path: Path, target: str) -> None:
    """Neither read nor written through, whether it leads to a file or to nothing; its target is left alone."""
    (tmp_path / "there").write_text("somebody else's")
    home, journal = open_home(tmp_path / "home", KEY), Journal(open_engine("sqlite://"))
    (tmp_path / "home" / tombstones.FILE).symlink_to(tmp_path / target)
    for attempt in (
        lambda: tombstones.bring_together(home, journal),
        lambda: tombstones.bury(home, journal, [ONE], state="begun"),
    ):
        with pytest.raises(SettingsError, match="put the file itself in its place"):
            attempt()
    assert journal.tombstones() == {}
    assert (tmp_path / "there").read_text() == "somebody else's" and not (tmp_path / "nowhere").exists()
    journal.close()


def test_a_folder_in_the_place_of_the_file_is_refused_in_our_words(tmp_path: Path) -> None:
    """As after a mount that went wrong."""
    home, journal = open_home(tmp_path, KEY), Journal(open_engine("sqlite://"))
    (tmp_path / tombstones.FILE).mkdir()
    with pytest.raises(SettingsError, match="cannot be used"):
        tombstones.bring_together(home, journal)
    journal.close()
