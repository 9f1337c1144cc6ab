"""The sample warehouse: 20,000 invented people in a DuckDB file, as untidy as a real table.

Belongs here: who these people are, what is wrong with some of them, how 1 % of them change, and whom Mailtrap
knows already. Not here: running anything on it (`demo.py`), or judging it (`assets/rules/`).

The same seed and day give the same rows. Every address lies under example.com, example.net or example.org, which
are reserved for documentation: nobody can be reached, not even by mistake.

    write_sample(path, today=date(2026, 6, 1))      # marts.newsletter_subscribers
    known_at_mailtrap(path)                         # unsubscribed, suppressed, and already there
    change_one_percent(path, now=datetime.now(UTC))
    who_said_no(path, now=datetime.now(UTC))        # to prove that none of them went out
"""

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

TABLE = "marts.newsletter_subscribers"
PEOPLE = 20_000
SEED = 20_260_601

NO_CONSENT_SHARE = 0.20
INVALID_SHARE = 0.03
DUPLICATE_SHARE = 0.02
CHANGED_SHARE = 0.01

PLANS = ("free", "starter", "pro", "business")
CONSENT_SOURCES = (
    "sign-up form v3",
    "sign-up form v4",
    "checkout",
    "webinar",
    "partner event",
    "app settings",
)
DOMAINS = ("example.com", "example.net", "example.org")

# fmt: off
GIVEN_NAMES = (
    "Aaliyah", "Adaeze", "Agnieszka", "Ahmed", "Aiko", "Åse", "Alejandro", "Amara", "Amélie", "Ana", "Anders",
    "Anjali", "Anouk", "Antonín", "Aoife", "Ayşe", "Bartosz", "Beatriz", "Benedikt", "Bilal", "Björn", "Caitlín",
    "Camila", "Carlos", "Cédric", "Chiara", "Chloe", "Ciarán", "Clara", "Dagny", "Daniela", "Darius", "Deepa",
    "Dimitri", "Dorota", "Edward", "Eirik", "Elena", "Eleonora", "Elif", "Emeka", "Emil", "Esther", "Eszter",
    "Fatima", "Fernanda", "Finn", "François", "Freya", "Gabriel", "Giulia", "Grace", "Gustavo", "Hana", "Harriet",
    "Hassan", "Helena", "Henrik", "Hugo", "Ibrahim", "Ida", "Imani", "Inês", "Ingrid", "Isabella", "Ivan", "Jakub",
    "Jamal", "Jasmine", "João", "Jonas", "Joséphine", "Jürgen", "Kaito", "Karolina", "Katarzyna", "Keisha", "Kenji",
    "Khadija", "Kirsten", "Kofi", "Lars", "Laszlo", "Leila", "Liam", "Linh", "Lucía", "Luca", "Łukasz", "Maëlle",
    "Magdalena", "Malik", "Marek", "Margarethe", "María José", "Mateo", "Matthias", "Mei", "Mercedes", "Mikael",
    "Mohammed", "Nadia", "Naoko", "Niamh", "Nikolai", "Noah", "Nour", "Oluwaseun", "Omar", "Oscar", "Paloma",
    "Patrick", "Petra", "Pierre", "Priya", "Quentin", "Rafael", "Ravi", "Rebecca", "Renée", "Rosa", "Ruth", "Samuel",
    "Sanne", "Santiago", "Sara", "Seán", "Sibusiso", "Signe", "Siobhán", "Sofia", "Søren", "Stefan", "Sunita",
    "Svetlana", "Tariq", "Tatiana", "Theodore", "Thiago", "Thuy", "Tomasz", "Ulrike", "Valentina", "Victor", "Viktória",
    "Wanjiru", "Willem", "Xavier", "Yasmin", "Yuki", "Yusuf", "Zainab", "Zoë", "Zsófia",
)
FAMILY_NAMES = (
    "Abernathy", "Adeyemi", "Aguilar", "Ahlström", "Al-Farsi", "Andersen", "Antonescu", "Árnason", "Bakker", "Banerjee",
    "Baumgartner", "Beaulieu", "Becker", "Bianchi", "Björklund", "Blackwood", "Bouchard", "Brzeziński", "Calloway",
    "Cardoso", "Castellanos", "Chatterjee", "Chowdhury", "Christensen", "Cohen", "Costa", "D'Angelo", "da Silva",
    "de la Cruz", "de Vries", "Delacroix", "Demir", "Dhillon", "Diallo", "Dubois", "Dvořák", "Eriksen", "Espinoza",
    "Fairweather", "Farkas", "Ferrari", "Fitzgerald", "Fleischer", "Fontaine", "Friedrich", "Fujimoto", "Gallagher",
    "García Márquez", "Goldstein", "Gonçalves", "Grünwald", "Guðmundsson", "Gutiérrez", "Haddad", "Halvorsen",
    "Hashimoto", "Hernández", "Hoffmann", "Horváth", "Hughes", "Ibáñez", "Iyer", "Jankowski", "Jansen", "Jiménez",
    "Johansson", "Kaczmarek", "Kamau", "Kapoor", "Karlsson", "Khan", "Kikuchi", "Kobayashi", "Kovács", "Kowalczyk",
    "Krüger", "Laurent", "Lefèvre", "Lindqvist", "Lombardi", "MacDonald", "Malhotra", "Mancini", "Marchetti",
    "Martínez", "Mbeki", "McAllister", "Mendoza", "Meyer-Schulz", "Moreau", "Mukherjee", "Müller", "Mwangi",
    "Nakamura", "Navarro", "Ndlovu", "Németh", "Nguyen", "Nielsen", "Novák", "Nwosu", "O'Brien", "O'Sullivan",
    "Okafor", "Okonkwo", "Oliveira", "Østergaard", "Özdemir", "Papadopoulos", "Patel", "Pereira", "Petrov", "Popescu",
    "Quispe", "Ramírez", "Rasmussen", "Reinholt", "Ricci", "Rodrigues", "Rossi", "Rousseau", "Saito", "Salazar",
    "Sánchez", "Schneider", "Schröder", "Sharma", "Sokolov", "Sørensen", "Stewart", "Svensson", "Szabó", "Takahashi",
    "Tanaka", "Tembo", "Thorsteinsson", "Tremblay", "Underwood", "van den Berg", "van Dijk", "Vasquez", "Villanueva",
    "Vogel", "von Stein", "Wagner", "Watanabe", "Weatherby", "Weiß", "Whitaker", "Wieczorek", "Wojciechowski",
    "Yamamoto", "Yıldız", "Zamora", "Zimmermann", "Żukowska",
)
COMPANY_STEMS = (
    "Alder", "Amber", "Anchor", "Aspen", "Atlas", "Aurora", "Basalt", "Beacon", "Birch", "Blue Heron", "Bright", "Cedar",
    "Cinder", "Clear", "Cobalt", "Copper", "Coral", "Crescent", "Delta", "Driftwood", "Eagle", "East", "Elm", "Ember",
    "Falcon", "Fern", "Fjord", "Flint", "Fox", "Glacier", "Golden", "Granite", "Green", "Harbour", "Hazel", "Heron",
    "Hill", "Horizon", "Indigo", "Iron", "Ivory", "Jade", "Juniper", "Kestrel", "Lark", "Laurel", "Lumen", "Maple",
    "Meridian", "Mill", "Moss", "North", "Nova", "Oak", "Ochre", "Olive", "Onyx", "Orchard", "Osprey", "Pine", "Polar",
    "Quartz", "Raven", "Red Brick", "River", "Saffron", "Sage", "Silver", "Slate", "South", "Spruce", "Stone", "Summit",
    "Swift", "Tall Ship", "Teal", "Thistle", "Tide", "Vale", "Violet", "West", "White", "Willow", "Winter", "Zephyr",
)
COMPANY_NOUNS = (
    "bridge", "brook", "crest", "field", "ford", "gate", "grove", "haven", "hurst", "keep", "land", "leaf", "light",
    "line", "mark", "mere", "mont", "peak", "point", "port", "reach", "ridge", "rock", "shore", "side", "spring",
    "stead", "stone", "stream", "view", "ville", "ward", "water", "way", "well", "wood", "works", "yard",
)
COMPANY_TRADES = (
    "Analytics", "Architects", "Bakery", "Bikes", "Books", "Brewing", "Capital", "Ceramics", "Clinics", "Coffee",
    "Consulting", "Dental", "Design", "Education", "Energy", "Engineering", "Farms", "Film", "Foods", "Furniture",
    "Games", "Gardens", "Health", "Hotels", "Instruments", "Insurance", "Kitchens", "Labs", "Legal", "Logistics",
    "Marine", "Media", "Mobility", "Music", "Optics", "Outdoor", "Pharma", "Printing", "Robotics", "Software", "Solar",
    "Sport", "Studios", "Systems", "Textiles", "Tools", "Toys", "Travel", "Ventures", "Vineyards",
)
COMPANY_FORMS = ("", "", "", " Ltd", " GmbH", " Inc.", " LLC", " S.A.", " AB", " & Co.", " & Sons", " B.V.", " Group")
# fmt: on

NOT_DECOMPOSED = str.maketrans({"ł": "l", "Ł": "L", "ø": "o", "Ø": "O", "ı": "i", "ð": "d", "ß": "ss"})

Column = npt.NDArray[Any]
Columns = dict[str, Column]

SCHEMA = pa.schema(
    [
        ("customer_id", pa.string()),
        ("email_address", pa.string()),
        ("given_name", pa.string()),
        ("family_name", pa.string()),
        ("company", pa.string()),
        ("age", pa.string()),  # typed in by people, so anything may stand there
        ("plan_code", pa.string()),
        ("created_on", pa.date32()),
        ("marketing_consent", pa.string()),
        ("consented_at", pa.timestamp("us")),
        ("consent_source", pa.string()),
        ("opted_out_at", pa.timestamp("us")),
        ("updated_at", pa.timestamp("us")),
    ]
)


@dataclass(frozen=True, slots=True)
class KnownAtMailtrap:
    """Whom Mailtrap knows before the first sync; nobody is in two of the three."""

    unsubscribed: tuple[str, ...] = field(repr=False)
    suppressed: tuple[tuple[str, str], ...] = field(repr=False)
    """(address, type of the suppression)"""
    subscribed: tuple[str, ...] = field(repr=False)


def write_sample(path: Path, *, today: date, people: int = PEOPLE, seed: int = SEED) -> int:
    """Write the warehouse anew, whole or not at all, and return its rows; consent is as old as `today` makes it."""
    rng = np.random.default_rng(seed)
    rows = _people(people, rng=rng, now=np.datetime64(today, "us"))
    _take_consent_away(rows, rng=rng)
    _spoil(rows, rng=rng)
    _decorate_addresses(rows, rng=rng)
    table = _shuffled(_with_duplicates(rows, rng=rng), rng=rng)
    _write(path, table)
    return int(table.num_rows)


def change_one_percent(path: Path, *, now: datetime, seed: int = SEED) -> int:
    """Change 1 % of the people, a tenth of them by withdrawing consent, and return how many."""
    rng = np.random.default_rng(seed + 1)
    with duckdb.connect(str(path)) as con:
        ids = [row[0] for row in con.sql(f"SELECT DISTINCT customer_id FROM {TABLE} ORDER BY 1").fetchall()]
        count = max(1, round(len(ids) * CHANGED_SHARE))
        chosen = rng.choice(len(ids), size=count, replace=False)
        changes = pa.table(
            {
                "id": [ids[position] for position in chosen],
                "company": _companies(count, rng=rng).tolist(),
                "withdraws": (np.arange(count) % 10 == 9).tolist(),
            }
        )
        con.register("changes", changes)
        con.execute(
            f"""UPDATE {TABLE} AS t SET
                company = CASE WHEN c.withdraws THEN t.company ELSE c.company END,
                opted_out_at = CASE WHEN c.withdraws THEN $now ELSE t.opted_out_at END,
                updated_at = $now
            FROM changes AS c WHERE t.customer_id = c.id""",
            {"now": now.astimezone(UTC).replace(tzinfo=None)},
        )
    return count


def known_at_mailtrap(path: Path, *, seed: int = SEED) -> KnownAtMailtrap:
    """People of the sample who unsubscribed at Mailtrap, are suppressed there, or are contacts already."""
    rng = np.random.default_rng(seed + 2)
    with duckdb.connect(str(path), read_only=True) as con:
        found = con.sql(
            f"""SELECT lower(trim(email_address)) AS email FROM {TABLE}
            WHERE length(email_address) < 64
              AND regexp_full_match(email, '[a-z0-9]+([.-][a-z0-9]+)*@[a-z0-9]+([.-][a-z0-9]+)*[.](com|net|org)')
            GROUP BY email ORDER BY email"""
        ).fetchall()
    emails = rng.permutation(np.array([row[0] for row in found], dtype=object))
    unsubscribed, suppressed, subscribed = (round(len(emails) * share) for share in (0.010, 0.006, 0.020))
    cuts = np.split(emails, np.cumsum([unsubscribed, suppressed, subscribed]))
    types = ("hard bounce", "spam complaint", "unsubscription", "manual import")
    return KnownAtMailtrap(
        unsubscribed=tuple(cuts[0]),
        suppressed=tuple((email, types[position % 4]) for position, email in enumerate(cuts[1])),
        subscribed=tuple(cuts[2]),
    )


def who_said_no(path: Path, *, now: datetime) -> frozenset[str]:
    """Every address of the sample with a row that is not a standing yes, in plain SQL: none of them may be told of."""
    with duckdb.connect(str(path), read_only=True) as con:
        found = con.sql(
            f"""SELECT DISTINCT lower(trim(email_address)) FROM {TABLE}
            WHERE email_address IS NOT NULL AND NOT coalesce(
                marketing_consent IN ('yes', 'Y') AND consented_at >= $now - INTERVAL 730 DAY
                AND (opted_out_at IS NULL OR opted_out_at < consented_at), false)""",
            params={"now": now.astimezone(UTC).replace(tzinfo=None)},
        ).fetchall()
    return frozenset(row[0] for row in found)


# People as they should be


def _people(count: int, *, rng: np.random.Generator, now: np.datetime64) -> Columns:
    given, family = _pick(GIVEN_NAMES, count, rng=rng), _pick(FAMILY_NAMES, count, rng=rng)
    company = _companies(count, rng=rng)
    consented = now - _days(
        rng.uniform(3, 600, count)
    )  # far from max_age_days on both sides: see _take_consent_away
    created = consented - _days(rng.exponential(200, count))
    updated = np.maximum(consented, now - _days(2 + rng.exponential(90, count)))
    rows: Columns = {
        "customer_id": np.array(
            [f"C-{number:06d}" for number in range(100_001, 100_001 + count)], dtype=object
        ),
        "email_address": _addresses(given, family, company, rng=rng),
        "given_name": given,
        "family_name": family,
        "company": company,
        "age": np.clip(rng.normal(43, 14, count), 16, 97).astype(int).astype(str).astype(object),
        "plan_code": _pick(PLANS, count, rng=rng, weights=(0.55, 0.2, 0.18, 0.07)),
        "created_on": created.astype("datetime64[D]").astype(object),
        "marketing_consent": _pick(("yes", "Y"), count, rng=rng, weights=(0.9, 0.1)),
        "consented_at": consented.astype(object),
        "consent_source": _pick(CONSENT_SOURCES, count, rng=rng),
        "opted_out_at": np.full(count, None, dtype=object),
        "updated_at": updated.astype(object),
    }
    for column, share in (
        ("given_name", 0.02),
        ("family_name", 0.02),
        ("company", 0.15),
        ("age", 0.2),
        ("plan_code", 0.05),
    ):
        rows[column][rng.random(count) < share] = None
    came_back = np.flatnonzero(rng.random(count) < 0.015)
    for row in came_back:  # left once, and consented again later: a yes
        rows["opted_out_at"][row] = rows["consented_at"][row] - timedelta(days=30)
    return rows


def _pick(
    pool: Sequence[str], count: int, *, rng: np.random.Generator, weights: Sequence[float] | None = None
) -> Column:
    return np.array(pool, dtype=object)[rng.choice(len(pool), size=count, p=weights)]


def _days(days: npt.NDArray[np.float64]) -> npt.NDArray[Any]:
    return (days * 86_400).astype("timedelta64[s]").astype("timedelta64[us]")


def _companies(count: int, *, rng: np.random.Generator) -> Column:
    stem, noun, trade, form = (
        _pick(pool, count, rng=rng) for pool in (COMPANY_STEMS, COMPANY_NOUNS, COMPANY_TRADES, COMPANY_FORMS)
    )
    return stem + noun + " " + trade + form


def _addresses(given: Column, family: Column, company: Column, *, rng: np.random.Generator) -> Column:
    local = _slugs(given, ".") + "." + _slugs(family, "-")
    short = rng.random(len(local)) < 0.3
    local[short] = np.array(
        [text[0] + text[text.index(".") :].replace(".", "") for text in local[short]], dtype=object
    )
    at = "@" + _slugs(company, "-") + "." + _pick(DOMAINS, len(local), rng=rng)
    private = rng.random(len(local)) < 0.35
    at[private] = "@" + _pick(("mail.", "post.", "inbox.", ""), int(private.sum()), rng=rng) + DOMAINS[0]
    return _distinct(local, at)


def _slugs(texts: Column, glue: str) -> Column:
    distinct, places = np.unique(texts.astype(str), return_inverse=True)
    return np.array([slug(text, glue) for text in distinct], dtype=object)[places]


def slug(text: str, glue: str) -> str:
    """The text in plain lower-case ASCII, its words joined by `glue`."""
    plain = text.translate(NOT_DECOMPOSED)
    ascii_text = unicodedata.normalize("NFKD", plain).encode("ascii", "ignore").decode().lower()
    words = "".join(letter if letter.isalnum() else " " for letter in ascii_text.replace("'", "")).split()
    return glue.join(words)


def _distinct(local: Column, at: Column) -> Column:
    """Every address once: the second maria.rossi@… becomes maria.rossi2@…, as it does in life."""
    numbers: dict[str, int] = {}
    addresses = []
    for name, domain in zip(local, at, strict=True):
        address = name + domain
        seen = numbers[address] = numbers.get(address, 0) + 1
        addresses.append(address if seen == 1 else f"{name}.{seen}{domain}")
    return np.array(addresses, dtype=object)


# What is untidy about them


def _take_consent_away(rows: Columns, *, rng: np.random.Generator) -> None:
    """A fifth of the people say no, or nothing, or said yes too long ago, or took it back."""
    count = len(rows["customer_id"])
    chosen = rng.permutation(count)[: round(count * NO_CONSENT_SHARE)]
    forms = (
        "no",
        "N",
        None,
        "",
        "unknown",
        "pending",
        "no",
        None,
        "no",
        "pending",
        "expired",
        "withdrawn",
        "withdrawn",
    )
    for position, row in enumerate(chosen):
        form = forms[position % len(forms)]
        if form == "withdrawn":
            rows["opted_out_at"][row] = rows["consented_at"][row] + timedelta(hours=30)
        elif form == "expired":
            rows["consented_at"][row] -= timedelta(days=900)
            rows["opted_out_at"][row] = None
        else:
            rows["marketing_consent"][row] = form
            rows["consented_at"][row] = rows["consent_source"][row] = rows["opted_out_at"][row] = None


Spoil = tuple[str, str | Callable[[str], str] | None]


def _local(change: Callable[[str], str]) -> Callable[[str], str]:
    return lambda address: change(address.partition("@")[0]) + "@" + address.partition("@")[2]


SPOILS: tuple[Spoil, ...] = (
    ("email_address", None),
    ("email_address", ""),
    ("email_address", "n/a"),
    ("email_address", lambda address: address.replace("@", " at ")),
    ("email_address", lambda address: address.replace("@", "@@")),
    ("email_address", lambda address: address.partition("@")[0] + "@"),
    ("email_address", lambda address: "@" + address.partition("@")[2]),
    ("email_address", lambda address: address.partition("@")[0] + "@localhost"),
    ("email_address", lambda address: address.rpartition(".")[0] + ".c"),
    ("email_address", lambda address: address.replace("@", "@-")),
    ("email_address", lambda address: address[:3] + " " + address[3:]),
    ("email_address", lambda address: address[:3] + "\u200b " + address[3:]),
    ("email_address", lambda address: address[:3] + "\x07" + address[3:]),
    ("email_address", lambda address: address + "\nBcc: everyone@example.com"),
    ("email_address", lambda address: f"Customer <{address}>"),
    ("email_address", lambda address: address + ", second@example.com"),
    ("email_address", _local(lambda local: "." + local)),
    ("email_address", _local(lambda local: local + ".")),
    ("email_address", _local(lambda local: local.replace(".", "") + "..x")),
    ("email_address", _local(lambda local: (local + "x" * 65)[:65])),
    ("email_address", lambda address: address.partition("@")[0] + "@" + "d" * 64 + ".example.com"),
    (
        "email_address",
        lambda address: address.partition("@")[0] + "@" + ".".join(["d" * 50] * 5) + ".example.com",
    ),
    ("age", "214"),
    ("age", "-3"),
    ("age", "forty-two"),
    ("age", "41.5"),
    ("age", "12/05/1980"),
    ("age", "99999999999999999999"),
    ("plan_code", "platinum"),
    ("plan_code", "trial-2019"),
    ("company", "The Very Long Company Name " * 10),
    ("company", "Bell\x07 & Sons"),
    ("given_name", "\x1b[31mAda"),
    ("created_on", None),
)
"""Everything that can be wrong with a row, as (column, what stands there instead, perhaps made from the address)."""


def _spoil(rows: Columns, *, rng: np.random.Generator) -> None:
    """Three in a hundred of those who said yes have one bad value, and a few of those who said no as well."""
    count = len(rows["customer_id"])
    yes = np.isin(rows["marketing_consent"], ("yes", "Y"))
    chosen = rng.permutation(np.flatnonzero(yes))[: round(count * INVALID_SHARE)]
    also = rng.permutation(np.flatnonzero(~yes))[: len(SPOILS)]
    for position, row in enumerate((*chosen, *also)):
        column, spoiled = SPOILS[position % len(SPOILS)]
        rows[column][row] = spoiled(rows["email_address"][row]) if callable(spoiled) else spoiled


def _decorate_addresses(rows: Columns, *, rng: np.random.Generator) -> None:
    """Upper case and blanks around an address are how people type, and no reason to refuse them."""
    emails = rows["email_address"]
    plain = [
        row
        for row in range(len(emails))
        if emails[row] and emails[row].isascii() and emails[row].isprintable()
    ]
    chosen = rng.permutation(np.array(plain))[: len(emails) // 20]
    for position, row in enumerate(chosen):
        emails[row] = (emails[row].upper(), emails[row].title(), f" {emails[row]} ")[position % 3]


def _with_duplicates(rows: Columns, *, rng: np.random.Generator) -> pa.Table:
    """Two in a hundred stand there twice: in other letters, older or newer, and some with a no in one of the two."""
    chosen = _twins(rows, rng=rng)
    twice = {name: column[chosen] for name, column in rows.items()}
    for position, customer in enumerate(twice["customer_id"]):
        email = twice["email_address"][position]
        twice["customer_id"][position] = customer.replace("C-", "D-")
        twice["email_address"][position] = (email.upper(), f"{email} ", email, email.swapcase())[position % 4]
        twice["updated_at"][position] += timedelta(days=(-40, -1, 0, 1)[position % 4], seconds=position % 3)
        if position % 5 == 4:
            twice["marketing_consent"][position] = ("no", None)[position % 2]
    return pa.concat_tables([_table(rows), _table(twice)])


def _twins(rows: Columns, *, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    whole = np.array(
        [bool(email) and "@" in email and email.isprintable() for email in rows["email_address"]]
    )
    return rng.permutation(np.flatnonzero(whole))[: round(len(whole) * DUPLICATE_SHARE)]


def _table(rows: Columns) -> pa.Table:
    return pa.table({name: pa.array(rows[name], SCHEMA.field(name).type) for name in SCHEMA.names})


# The file


def _shuffled(table: pa.Table, *, rng: np.random.Generator) -> pa.Table:
    return table.take(pa.array(rng.permutation(table.num_rows)))


def _write(path: Path, table: pa.Table) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial = path.with_name(f".{path.name}.partial")
    partial.unlink(missing_ok=True)
    with duckdb.connect(str(partial)) as con:
        con.execute("CREATE SCHEMA marts")
        con.register("sample", table)
        con.execute(f"CREATE TABLE {TABLE} AS SELECT * FROM sample")
    partial.chmod(0o600)
    partial.replace(path)
    path.with_name(path.name + ".wal").unlink(missing_ok=True)
