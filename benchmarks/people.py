"""The table of the benchmarks: as many people as wanted, ten columns, 3 % bad rows, names as varied as in life.

Made by DuckDB alone, from the pools of the sample, so that ten million rows take a minute and little memory. Of 200
rows one repeats the former one's address in capitals, of 50 people one gives no consent.
"""

import sys
from pathlib import Path

import duckdb

from pipelines import sample

TABLE = "marts.people"
PLANS = ("free", "starter", "pro", "business")

# Each is one kind of bad row; together they are 3 % of all: 12 kinds of 0.25 %.
BAD = {
    "email_address": ("NULL", "''", "replace(email, '@', ' at ')", "replace(email, '@', '@@')",
                      "email || '.'", "split_part(email, '@', 1) || '@localhost'", "left(email, 3) || ' ' || email"),
    "age": ("999", "-1"),
    "plan_code": ("'platinum'",),
    "company": ("repeat(company, 20)", "company || chr(7)"),
}  # fmt: skip

USABLE = rf"""
    marketing_consent
    AND regexp_full_match(lower(trim(email_address)),
        '[a-z0-9!#$%&''*+/=?^_`{{|}}~-]+(\.[a-z0-9!#$%&''*+/=?^_`{{|}}~-]+)*@([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z]{{2,63}}')
    AND length(email_address) <= 254
    AND (age IS NULL OR age BETWEEN 0 AND 130)
    AND (plan_code IS NULL OR plan_code IN {PLANS})
    AND coalesce(length(given_name), 0) <= 255 AND coalesce(length(family_name), 0) <= 255
    AND coalesce(length(company), 0) <= 255
    AND NOT coalesce(regexp_matches(company, '[\x00-\x1f]'), false)
"""
"""What a careful person would write to leave bad rows out; the same for every contestant that filters in SQL."""

NEWEST = "row_number() OVER (PARTITION BY lower(trim(email_address)) ORDER BY updated_at DESC, customer_id DESC) = 1"


def make(path: Path, rows: int, *, seed: int = 1) -> None:
    """Write the table, whole or not at all; the same rows for the same seed and version of DuckDB."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    with duckdb.connect(str(partial), config={"preserve_insertion_order": True}) as con:
        con.execute("SET enable_progress_bar = false")
        con.execute("CREATE SCHEMA marts")
        con.execute(f"CREATE TABLE {TABLE} AS {_people(rows, seed=seed)}")
    partial.replace(path)


def usable(path: Path) -> int:
    """How many contacts every contestant must deliver."""
    with duckdb.connect(str(path), read_only=True) as con:
        found = con.sql(f"SELECT count(DISTINCT lower(trim(email_address))) FROM {TABLE} WHERE {USABLE}")
        return int(found.fetchall()[0][0])


def change_one_in_a_thousand(path: Path) -> None:
    """Other companies for 0.1 % of the people, changed just now: newer than any change that was told before."""
    with duckdb.connect(str(path)) as con:
        con.execute(
            f"""UPDATE {TABLE} SET company = regexp_replace(company, ' \\d+$', '') || ' ' || epoch_ms(now()),
            updated_at = now()::timestamp
            WHERE hash(customer_id) % 1000 = 0 AND length(company) < 200"""
        )


def _people(rows: int, *, seed: int) -> str:
    given, family, stem, noun, trade = (
        sample.GIVEN_NAMES, sample.FAMILY_NAMES, sample.COMPANY_STEMS, sample.COMPANY_NOUNS, sample.COMPANY_TRADES
    )  # fmt: skip
    drawn = {
        "g": (given, 1), "f": (family, 2), "f2": (family, 3), "s": (stem, 4), "n": (noun, 5), "t": (trade, 6),
        "o": (sample.COMPANY_FORMS, 7),
    }  # fmt: skip
    places = ", ".join(
        f"1 + (hash(person, {salt + seed * 100}) % {len(pool)})::INTEGER AS {name}"
        for name, (pool, salt) in drawn.items()
    )
    return f"""
    WITH drawn AS (
        SELECT i, person, {places}, hash(i, {seed}) AS h, hash(person, {seed + 50}) AS hp FROM (
            SELECT i, CASE WHEN hash(i, {seed + 9}) % 200 = 0 AND i > 0 THEN i - 1 ELSE i END AS person
            FROM range({rows}) AS numbers(i))
    ), whole AS (
        SELECT i, h, hp,
            {_list(given)}[g] AS given_name,
            {_list(family)}[f] || CASE WHEN hp % 7 = 0 THEN '-' || {_list(family)}[f2] ELSE '' END AS family_name,
            {_list(stem)}[s] || {_list(noun)}[n] || ' ' || {_list(trade)}[t] || {_list(sample.COMPANY_FORMS)}[o] AS company,
            {_list(_slugs(given))}[g] || '.' || {_list(_slugs(family))}[f] || person || '@' || {_list(_slugs(stem))}[s]
                || {_list(noun)}[n] || '-' || {_list(_slugs(trade))}[t] || '.example.com' AS email
        FROM drawn
    )
    SELECT i AS customer_id,
        {_spoiled("email_address", "CASE WHEN h % 20 = 3 THEN upper(email) ELSE email END")},
        CASE WHEN h % 50 <> 1 THEN given_name END AS given_name,
        family_name,
        {_spoiled("company", "CASE WHEN h % 7 <> 1 THEN company END")},
        {_spoiled("age", "CASE WHEN h % 5 <> 1 THEN (16 + h % 80)::INTEGER END")},
        {_spoiled("plan_code", f"{_list(PLANS)}[1 + (hp % 4)::INTEGER]")},
        DATE '2020-01-01' + (hp % 2000)::INTEGER AS created_on,
        hp % 50 <> 7 AS marketing_consent,
        TIMESTAMP '2024-01-01' + to_seconds((h % 50000000)::INTEGER) AS updated_at
    FROM whole ORDER BY i"""


def _spoiled(column: str, sound: str) -> str:
    kinds = [(name, value) for name, values in BAD.items() for value in values]
    cases = " ".join(
        f"WHEN h % 400 = {number} THEN {value}"
        for number, (name, value) in enumerate(kinds)
        if name == column
    )
    return f"CASE {cases} ELSE {sound} END AS {column}"


def _list(texts: tuple[str, ...]) -> str:
    return "[" + ", ".join("'" + text.replace("'", "''") + "'" for text in texts) + "]"


def _slugs(texts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sample.slug(text, "-") for text in texts)


if __name__ == "__main__":
    make(Path(sys.argv[1]), int(sys.argv[2]))
