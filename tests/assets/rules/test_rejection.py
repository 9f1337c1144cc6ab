"""The closed set of reasons, and the page that lists them."""

import re
from pathlib import Path

from assets.rules.consent import No
from assets.rules.rejection import REASONS, Reason

PAGE = (Path(__file__).parents[3] / "docs" / "screening.md").read_text()


def test_the_page_lists_every_reason_with_its_rule_and_remedy() -> None:
    """And none that is gone: the words people read are those of the code."""
    rows = re.findall(r"^\| `(\w+)` \| `([\w.]+)` \| (.+) \|$", PAGE, re.M)
    listed = [(name, rule, remedy.replace("\\|", "|")) for name, rule, remedy in rows]
    assert listed == [(reason.name, reason.value.rule, reason.value.remedy) for reason in Reason]


def test_the_page_lists_every_kind_of_no() -> None:
    """In the order in which they are decided on."""
    assert re.findall(r"^\| `(consent_\w+)` \| (.+) \|$", PAGE, re.M) == [(no.name, no.value) for no in No]


def test_reasons_are_numbered_from_one_and_each_is_its_own() -> None:
    """0 means that nothing is wrong; two reasons with the same words would be one and lose a name."""
    assert [reason.number for reason in REASONS] == list(range(1, len(REASONS) + 1))
    assert len(Reason.__members__) == len(REASONS)


def test_every_remedy_is_a_sentence_that_says_what_to_do() -> None:
    """Which ones are not is listed."""
    assert [r.name for r in Reason if not re.fullmatch(r"[A-Z].{15,160}\.", r.value.remedy)] == []
