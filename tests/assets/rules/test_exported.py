"""An export's csv.gz becomes typed batches, whatever its layout; no cell is lost, no broken file passes."""

import csv
import gzip
import io
import random
import tracemalloc
from dataclasses import dataclass
from datetime import UTC, date, datetime

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.rules.export_layout import ExportFileError
from assets.rules.exported import BEYOND, Export, ahead, open_export, worth_a_dictionary


@dataclass(frozen=True)
class Field:
    """A field of the account."""

    name: str
    merge_tag: str
    data_type: str


FIELDS = (
    Field("First name", "first_name", "text"),
    Field("Age", "age", "integer"),
    Field("Score", "score", "float"),
    Field("VIP", "vip", "boolean"),
    Field("Born", "born", "date"),
)
LISTS = {7: "Newsletter", 8: "News; weekly", 9: "VIP"}


def opened(text: str | bytes, **options: object) -> Export:
    """The export of a CSV text."""
    data = text.encode() if isinstance(text, str) else text
    return open_export(io.BytesIO(gzip.compress(data)), FIELDS, lists=LISTS, **options)  # type: ignore[arg-type]


def rows_of(text: str | bytes, **options: object) -> list[dict[str, object]]:
    """All rows of a CSV text."""
    return pa.Table.from_batches(list((found := opened(text, **options)).batches()), found.schema).to_pylist()


PERSON = {
    "email": "ada@example.com",
    "status": "subscribed",
    "first_name": "Ada",
    "age": 36,
    "score": 1.5,
    "vip": True,
    "born": date(1815, 12, 10),
}
LAYOUTS = {
    "merge tags": "email,status,first_name,age,score,vip,born\nada@example.com,subscribed,Ada,36,1.5,true,1815-12-10\n",
    "display names": "Email,Status,First name,Age,Score,VIP,Born\nada@example.com,Subscribed,Ada,36,1.5,True,1815-12-10\n",
    "any order": "born,vip,email,score,age,first_name,status\n1815-12-10,1,ada@example.com,1.5,36,Ada,subscribed\n",
    "byte order mark": "\ufeffemail,status,first_name,age,score,vip,born\nada@example.com,subscribed,Ada,36,1.5,true,1815-12-10\n",
    "crlf and quotes": '"E-mail Address","Status","FIRST_NAME","Age ","score","vip","Born"\r\n'
    '"ada@example.com","subscribed","Ada","36","1.5","yes","1815-12-10"\r\n',
    "semicolons": "email;status;first_name;age;score;vip;born\nada@example.com;subscribed;Ada;36;1.5;t;1815-12-10",
    "tabs": "email\tstatus\tfirst_name\tage\tscore\tvip\tborn\nada@example.com\tsubscribed\tAda\t36\t1.5\t1\t1815-12-10",
    "times in dates, .0 in integers": "email,status,first_name,age,score,vip,born\n"
    "ada@example.com,subscribed,Ada,36.0,1.50,1,1815-12-10T00:00:00Z\n",
    "a header with a line end": 'email,status,first_name,age,score,vip,born,"two\r\nlines"\n'
    "ada@example.com,subscribed,Ada,36,1.5,true,1815-12-10,\n",
    "blank lines": "\r\n\nemail,status,first_name,age,score,vip,born\n\nada@example.com,subscribed,Ada,36,1.5,true,1815-12-10\n\n",
}


@pytest.mark.parametrize("text", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_every_layout_gives_the_same_typed_row(text: str) -> None:
    """Headers, order, delimiter, line ends and marks change nothing about the outcome."""
    (row,) = rows_of(text)
    assert {name: row[name] for name in PERSON} == PERSON
    assert row["misfits"] is None


@pytest.mark.parametrize(
    ("header", "cell", "lists"),
    [
        ("lists", "Newsletter; VIP", ["Newsletter", "VIP"]),
        ("List names", "Newsletter, VIP", ["Newsletter", "VIP"]),
        ("list_ids", "7,9", ["Newsletter", "VIP"]),
        ("List IDs", "[7, 9]", ["Newsletter", "VIP"]),
        ("lists", "News; weekly; VIP", ["News; weekly", "VIP"]),
        ("lists", '["VIP"]', ["VIP"]),
        ("lists", "", []),
        ("lists", "Gone|VIP", ["Gone", "VIP"]),
    ],
)
def test_memberships_are_lists_of_names(header: str, cell: str, lists: list[str]) -> None:
    """Names or ids, however joined, become names; a name may hold the separator."""
    quoted = cell.replace('"', '""')
    (row,) = rows_of(f'email,{header}\na@example.com,"{quoted}"\n')
    assert row["lists"] == lists


def test_lists_are_unknown_where_the_export_does_not_have_them() -> None:
    """Null is not the same as no list."""
    (row,) = rows_of("email\na@example.com\n")
    assert row["lists"] is None and not opened("email\n").layout.has_lists


def test_a_header_alone_is_an_export_of_nobody() -> None:
    """An empty account is no failure; its schema is whole."""
    for end in ("", "\n", "\r\n"):
        found = opened("email,age" + end)
        assert list(found.batches()) == [] and found.schema.field("age").type == pa.int64()


def test_a_missing_address_column_names_the_headers_and_no_cell() -> None:
    """Only this layout is an error, and it says what was found."""
    with pytest.raises(
        ExportFileError, match=r"no e-mail column; its headers are: 'name', 'phone'"
    ) as caught:
        opened("name,phone\nAda,12345\n")
    assert "Ada" not in str(caught.value) and not caught.value.damaged


def test_a_person_in_place_of_the_headers_is_not_told() -> None:
    """Whoever reads the error or Dagster's storage learns how many cells there are."""
    with pytest.raises(ExportFileError, match=r"begins with a person.*2 cells") as caught:
        opened("Ada,ada@example.com\nBob,bob@example.com\n")
    assert "Ada" not in str(caught.value) and "ada@" not in str(caught.value)


def test_values_that_do_not_fit_are_null_and_kept_as_text() -> None:
    """Nothing is guessed, nothing is lost."""
    text = "email,age,score,vip,born\na@x.org,12 years,1e999,maybe,2026-02-30\nb@x.org,9223372036854775808,NaN,,01/02/2026\n"
    found = opened(text)
    first, second = pa.Table.from_batches(list(found.batches())).to_pylist()
    assert [first[name] for name in ("age", "score", "vip", "born")] == [None] * 4
    assert dict(first["misfits"]) == {
        "age": "12 years",
        "score": "1e999",
        "vip": "maybe",
        "born": "2026-02-30",
    }
    assert dict(second["misfits"]) == {"age": "9223372036854775808", "score": "NaN", "born": "01/02/2026"}
    assert found.seen.misfits == {"age": 2, "score": 2, "vip": 1, "born": 2}


def test_numbers_at_their_ends_keep_every_digit() -> None:
    """Integers are never floats on the way."""
    text = "email,age\na@x.org,9223372036854775807\nb@x.org,-9223372036854775808\nc@x.org,+5\nd@x.org, 9007199254740993 \n"
    assert [row["age"] for row in rows_of(text)] == [2**63 - 1, -(2**63), 5, 9007199254740993]


def test_extra_and_duplicate_columns_are_kept_as_text() -> None:
    """What is not known today may matter tomorrow."""
    (row,) = rows_of("id,email,First name,first_name,email,Köln!\n018f,a@x.org,Display,Tag,other,=1+1\n")
    assert row["first_name"] == "Tag" and row["first_name_2"] == "Display"
    assert (row["id"], row["email_2"], row["köln"]) == ("018f", "other", "=1+1")


def test_times_are_read_as_milliseconds_or_iso() -> None:
    """Both ways in which Mailtrap writes times."""
    moment = datetime(2026, 4, 28, 12, 40, 45, 519000, tzinfo=UTC)
    text = "email,created_at,updated_at\na@x.org,1777380045519,2026-04-28T12:40:45.519Z\nb@x.org,soon,2026-04-28 14:40:45.519+02:00\n"
    first, second = rows_of(text)
    assert first["created_at"] == first["updated_at"] == second["updated_at"] == moment
    assert second["created_at"] is None and dict(second["misfits"]) == {"created_at": "soon"}


def test_bytes_that_are_not_utf8_cost_nothing() -> None:
    """They are read as Windows-1252 and counted, also where a character is split over pieces."""
    filler = "".join(f"p{n}@x.org,{'é' * 50}\n" for n in range(6000)).encode()
    found = opened(b"email,first_name\na@x.org,Jos\xe9\n" + filler + b"z@x.org,\x80\x81\n")
    names = {row["email"]: row["first_name"] for batch in found.batches() for row in batch.to_pylist()}
    assert (names["a@x.org"], names["z@x.org"], names["p17@x.org"]) == ("José", "€\x81", "é" * 50)
    assert found.seen.not_utf8 == 3 and len(names) == 6002


def test_a_carriage_return_is_no_line_end_where_lines_end_otherwise() -> None:
    """Not every writer quotes it; the character that stands for it in between may occur too."""
    found = opened("email,first_name,age\na@x.org,one\rtwo\ufdd0r\ufdd0,3\nb@x.org,\r,4\nshort\r@x.org\n")
    rows = {row["email"]: row["first_name"] for batch in found.batches() for row in batch.to_pylist()}
    assert rows == {"a@x.org": "one\rtwo\ufdd0r\ufdd0", "b@x.org": "\r", "short\r@x.org": None}


def test_rows_of_other_lengths_are_kept() -> None:
    """A short row has nulls, a long one keeps what is beyond the header."""
    found = opened(b'email,first_name,age\nshort@x.org\xff\nlong@x.org,Ada,3,more,"an,d"\nright@x.org,B,4\n')
    rows = {row["email"]: row for batch in found.batches() for row in batch.to_pylist()}
    assert rows["short@x.orgÿ"]["first_name"] is None and rows["right@x.org"]["age"] == 4
    assert rows["long@x.org"]["age"] == 3 and dict(rows["long@x.org"]["misfits"]) == {BEYOND: 'more,"an,d"'}
    assert (found.seen.rows, found.seen.odd_rows) == (3, 2)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("email,age\na@x.org,1\nb@x", "ends in the middle"),
        ('email,first_name\na@x.org,"Jo', "inside a quoted cell"),
        ("email,age\n" + "a@x.org,1,2\n" * 500, "more or fewer cells"),
        ('email,first_name\na@x.org,"' + "x" * 3_000_000, "longer than 1 MB"),
        ("", "is empty|no header"),
        ("\n\n", "no header"),
        ('"email' + "x" * 300_000, "does not end"),
        (",".join(["email", *map(str, range(1500))]), "1,501 columns"),
    ],
    ids=["cut row", "cut quote", "ragged", "endless cell", "nothing", "blank", "endless header", "too wide"],
)
def test_a_broken_file_is_noticed_though_its_gzip_is_whole(text: str, words: str) -> None:
    """It is told from a good one, without quoting a cell."""
    with pytest.raises(ExportFileError, match=words) as caught:
        rows_of(text)
    assert caught.value.damaged and "x.org" not in str(caught.value)


def test_memory_stays_flat() -> None:
    """92 MB of rows pass through a few blocks of 1 MB each, as many as threads are ahead (Python's memory only)."""
    rows = 400_000
    data = gzip.compress(
        b"email,note\n" + b"".join(b"p%d@example.com,%0200d\n" % (n, n) for n in range(rows)), 1
    )
    assert len(rows_of("email,note\na@x.org,b\n")) == 1  # what is imported on the way is not what is measured
    tracemalloc.start()
    try:
        found = open_export(io.BytesIO(data), FIELDS)
        assert sum(batch.num_rows for batch in found.batches(rows_per_batch=20_000)) == rows
        assert tracemalloc.get_traced_memory()[1] < 60_000_000 < found.seen.csv_bytes
    finally:
        tracemalloc.stop()


def test_batches_are_sorted_by_address() -> None:
    """So that row groups say which addresses they hold."""
    names = [f"p{n:04d}@x.org" for n in range(500)]
    shuffled = random.Random(1).sample(names, len(names))
    (batch,) = opened("email\n" + "\n".join(shuffled)).batches()
    assert batch["email"].to_pylist() == names


def test_the_status_of_a_filtered_export_fills_a_missing_column_only() -> None:
    """The filter is knowledge; the file is better knowledge."""
    assert rows_of("email\na@x.org\n", status="unsubscribed")[0]["status"] == "unsubscribed"
    assert rows_of("email,status\na@x.org,subscribed\n", status="unsubscribed")[0]["status"] == "subscribed"


def test_an_error_while_reading_ahead_is_raised_where_batches_are_taken() -> None:
    """And the thread ends, also when nobody takes the rest."""
    with pytest.raises(ExportFileError), ahead(opened('email,x\na@x.org,"cut').batches()) as batches:
        list(batches)
    with ahead(opened("email\n" + "a@x.org\n" * 5000).batches(rows_per_batch=1)) as batches:
        next(batches)


def test_only_columns_that_repeat_get_a_dictionary() -> None:
    """Addresses never do."""
    text = "email,status\n" + "".join(f"p{n}@x.org,subscribed\n" for n in range(100))
    (batch,) = opened(text).batches()
    named = worth_a_dictionary(batch)
    assert "status" in named and "email" not in named


hostile = st.text(st.characters(blacklist_categories=("Cs",)), max_size=12)


@settings(max_examples=60, deadline=None)
@given(
    cells=st.lists(st.tuples(hostile, hostile), min_size=1, max_size=8),
    newline=st.sampled_from(["\n", "\r\n"]),
    pieces=st.integers(1, 3),
    quoting=st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
)
def test_any_text_comes_back_as_it_was(
    cells: list[tuple[str, str]], newline: str, pieces: int, quoting: int
) -> None:
    """Whatever a person put into a field: quotes, line ends, NUL, emoji; over any number of gzip members.

    Python's writer does not quote a carriage return where lines end with a line feed.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=quoting, lineterminator=newline)  # type: ignore[arg-type]
    writer.writerow(["email", "first_name", "note"])
    writer.writerows([(f"p{n}@x.org", *each) for n, each in enumerate(cells)])
    data = text.getvalue().encode()
    cut = max(1, len(data) // pieces)
    members = b"".join(gzip.compress(data[start : start + cut]) for start in range(0, len(data), cut))
    found = open_export(io.BytesIO(members), FIELDS)
    rows = {
        row["email"]: (row["first_name"], row["note"])
        for batch in found.batches()
        for row in batch.to_pylist()
    }
    assert rows == {f"p{n}@x.org": (first or None, note or None) for n, (first, note) in enumerate(cells)}
