"""Headers find their fields: tags before names, each header once, each column name once."""

from dataclasses import dataclass

from assets.rules.export_layout import match_headers, plain_name, read_header


@dataclass(frozen=True)
class Field:
    """A field of the account."""

    name: str
    merge_tag: str
    data_type: str = "text"


def positions(headers: list[str], *fields: Field) -> dict[str, int | None]:
    """Where each column comes from."""
    return {column.name: column.position for column in match_headers(headers, fields).columns}


def test_a_merge_tag_wins_over_a_display_name() -> None:
    """A field may be called like another one's tag."""
    found = positions(["email", "plan", "Plan B"], Field("plan", "tier"), Field("Plan B", "plan"))
    assert found["plan"] == 1 and found["tier"] is None and found["plan_b"] == 2


def test_a_field_called_status_does_not_hide_the_status() -> None:
    """The contact's own columns come first."""
    found = positions(["Email", "Status", "Status"], Field("Status", "lead_status"))
    assert (found["status"], found["lead_status"]) == (1, 2)


def test_an_alias_of_email_that_is_a_field_stays_a_field() -> None:
    """`contact_email` may be somebody else's address."""
    found = positions(["contact_email", "Email"], Field("Contact email", "contact_email"))
    assert (found["email"], found["contact_email"]) == (1, 0)


def test_names_differ_also_for_engines_that_ignore_case() -> None:
    """DuckDB and Spark take `Plan` and `plan` for one column."""
    layout = match_headers(
        ["email", "Misfits", "LISTS!", "lists", "", "é"], [Field("x", "Plan"), Field("y", "plan")]
    )
    names = [name.casefold() for name in layout.schema.names]
    assert len(set(names)) == len(names) and {"misfits", "misfits_2", "column_5", "é"} <= set(names)


def test_missing_fields_have_their_column_all_the_same() -> None:
    """Yesterday's query runs on today's file."""
    layout = match_headers(["email"], [Field("Age", "age", "integer"), Field("New", "new", "tensor")])
    assert layout.absent_fields == ("age", "new") and str(layout.schema.field("age").type) == "int64"
    assert str(layout.schema.field("new").type) == "string"


def test_the_delimiter_is_the_one_that_yields_an_address() -> None:
    """Commas inside other names do not fool it."""
    assert read_header('email;"a,b,c";d') == (";", ("email", "a,b,c", "d"))
    assert read_header("email") == (",", ("email",))
    assert read_header("a,email,b") == (",", ("a", "email", "b"))


def test_plain_names_are_good_in_sql() -> None:
    """Lower case, words joined by underscores."""
    assert [plain_name(each) for each in (" First  name", "E-Mail", "\ufeffEmail", "100%", "!")] == [
        "first_name", "e_mail", "email", "100", "",
    ]  # fmt: skip
