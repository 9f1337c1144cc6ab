"""The picture shows every row that a summary counts, and any summary can be drawn."""

import itertools
from pathlib import Path
from typing import Any

import pytest

from pipelines import printing
from pipelines.picture import draw, lay_out
from pipelines.places import PLACES

PNG = b"\x89PNG\r\n\x1a\n"


def summary(**rows: int) -> dict[str, Any]:
    """A summary as every run leaves it, with these rows."""
    return {
        "sync": "newsletter",
        "rows": {"read": sum(rows.values()), **rows},
        "rejected_by_reason": {f"reason_{number}": number for number in range(rows.get("rejected", 0))},
        "payloads": 2,
        "requests": 7,
        "retries": 1,
        "seconds": 1.5,
    }


EVERYWHERE = summary(**{place.key: 10 + position for position, place in enumerate(PLACES)})
SUMMARIES = {
    "everything at once": EVERYWHERE,
    "no row at all": summary(),
    "one row": summary(accepted=1),
    "one of ten million": summary(unchanged=9_999_999, suppressed=1),
    "more reasons than lines": summary(rejected=40),
}


@pytest.mark.parametrize("drawn", SUMMARIES.values(), ids=SUMMARIES)
def test_any_summary_becomes_a_picture(drawn: dict[str, Any], tmp_path: Path) -> None:
    """Nothing but the PNG is left, and dollar signs in a name are no formula."""
    path = draw([("plan of $5 & $6", drawn), ("sync", EVERYWHERE)], tmp_path / "new" / "flow.png")
    assert path.read_bytes().startswith(PNG)
    assert [entry.name for entry in path.parent.iterdir()] == ["flow.png"]


def test_every_counted_row_has_its_ribbon() -> None:
    """The picture leaves nobody out: its ribbons add up to the rows read."""
    assert sum(ribbon.rows for ribbon in lay_out(EVERYWHERE)) == EVERYWHERE["rows"]["read"]


@pytest.mark.parametrize("drawn", SUMMARIES.values(), ids=SUMMARIES)
def test_ribbons_are_in_proportion_and_words_do_not_touch(drawn: dict[str, Any]) -> None:
    """A ribbon twice as thick is twice as many rows, and each can be read."""
    ribbons = lay_out(drawn)
    for ribbon in ribbons:
        share = ribbon.rows / drawn["rows"]["read"]
        assert ribbon.left[1] - ribbon.left[0] == pytest.approx(share)
        assert -0.001 < ribbon.right[0] < ribbon.right[1] <= 1
    for upper, lower in itertools.pairwise(ribbons):
        assert upper.words_at - lower.words_at > 0.08
        assert upper.right[0] > lower.right[1]


def test_colours_and_words_of_the_places_differ() -> None:
    """Two places that look alike would be counted as one by the eye."""
    for name in ("key", "words", "short", "colour"):
        assert len({getattr(place, name) for place in PLACES}) == len(PLACES)


def test_a_plan_says_would(capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody was told of anything yet, neither in the picture nor in the table."""
    [told, *others] = lay_out({**EVERYWHERE, "plan": True})
    assert told.place.words == "would be told to Mailtrap"
    assert [each.place for each in others] == [*PLACES[1:]]
    printing.show_rows("Plan", EVERYWHERE["rows"], planned=True)
    assert "would be told to Mailtrap" in capsys.readouterr().out
