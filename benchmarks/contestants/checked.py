"""Who may be told, as most people would find out: one pandas frame, and pandera's own checks."""

import duckdb
import pandas as pd
import pandera.pandas as pa

ADDRESS = r"[a-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[a-z0-9!#$%&'*+/=?^_`{|}~-]+)*@([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,63}$"
TEXT = [
    pa.Check.str_length(max_value=255),
    pa.Check(lambda text: all(ord(letter) > 31 for letter in text), element_wise=True),
]
SCHEMA = pa.DataFrameSchema(
    {
        "email": pa.Column(str, [pa.Check.str_matches(ADDRESS), pa.Check.str_length(max_value=254)]),
        "given_name": pa.Column(str, TEXT, nullable=True),
        "family_name": pa.Column(str, TEXT, nullable=True),
        "company": pa.Column(str, TEXT, nullable=True),
        "age": pa.Column("Int64", pa.Check.in_range(0, 130), nullable=True, coerce=True),
        "plan_code": pa.Column(str, pa.Check.isin(["free", "starter", "pro", "business"]), nullable=True),
    },
)


def checked(warehouse: str) -> pd.DataFrame:
    """Consent, checks, and the newest row of each address."""
    with duckdb.connect(warehouse, read_only=True) as con:
        frame = con.sql("FROM marts.people").df()
    frame = frame[frame["marketing_consent"].fillna(False)].reset_index(drop=True)
    frame["email"] = frame["email_address"].fillna("").str.strip().str.lower()
    try:
        SCHEMA.validate(frame, lazy=True)
    except pa.errors.SchemaErrors as errors:
        frame = frame.drop(index=errors.failure_cases["index"].dropna().unique())
    return frame.sort_values(["updated_at", "customer_id"]).drop_duplicates("email", keep="last")


def fields(row: dict) -> dict:  # type: ignore[type-arg]
    """The fields of a contact, without what is empty."""
    found = {
        "first_name": row["given_name"],
        "last_name": row["family_name"],
        "company": row["company"],
        "age": None if pd.isna(row["age"]) else int(row["age"]),
        "plan": "free" if pd.isna(row["plan_code"]) else row["plan_code"],
        "signed_up": row["created_on"].strftime("%Y-%m-%d"),
    }
    return {tag: value for tag, value in found.items() if not pd.isna(value)}
