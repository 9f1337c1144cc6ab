"""The places where a row can end, in the words and colours that every table and picture uses.

read = the sum of all places, in every run
"""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Place:
    """One of the places where a row can end: its name in the summary, its words (one long, one short), its colour."""

    key: str
    short: str
    words: str
    colour: str


# Okabe and Ito's colours, which people with any kind of colour vision tell apart; light against dark where they are close.
PLACES = (
    Place("accepted", "told", "told to Mailtrap", "#0072B2"),
    Place("unchanged", "unchanged", "unchanged, nothing to tell", "#8CBFE0"),
    Place("pending", "pending", "pending, not proven yet", "#F0E442"),
    Place("no_consent", "no consent", "no consent, never sent", "#E69F00"),
    Place("unsubscribed", "unsubscribed", "unsubscribed at Mailtrap", "#CC79A7"),
    Place("suppressed", "suppressed", "suppressed at Mailtrap", "#8F4A70"),
    Place("erased", "erased", "erased for good", "#3D3D3D"),
    Place("rejected", "rejected", "rejected, with a reason", "#D55E00"),
    Place("duplicate", "duplicate", "duplicate of a newer row", "#9AA3AC"),
    Place("stale", "stale", "stale, older than what was told", "#6A7885"),
    Place("over_limit", "over limit", "over the plan's limit", "#009E73"),
)
_PLANNED = (replace(PLACES[0], words=f"would be {PLACES[0].words}"), *PLACES[1:])


def places(*, planned: bool) -> tuple[Place, ...]:
    """The places; in a plan nobody has been told of anything yet."""
    return _PLANNED if planned else PLACES
