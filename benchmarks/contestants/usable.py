"""The same filter for every contestant that filters in SQL; `benchmarks.people` says what is usable."""

import os

ROWS_PER_PAYLOAD = 50_000
CONTACT = r"""
'{"email":"' || email || '","fields":{'
|| '"plan":"' || plan || '","signed_up":"' || signed_up || '"'
|| coalesce(',"age":' || age, '')
|| coalesce(',"first_name":' || to_json(first_name)::VARCHAR, '')
|| coalesce(',"last_name":' || to_json(last_name)::VARCHAR, '')
|| coalesce(',"company":' || to_json(company)::VARCHAR, '')
|| '},"list_ids_included":[1]},'
"""

TABLE = os.environ.get("BENCHMARK_TABLE", "marts.people")


def usable_sql(*, settle_duplicates: bool = True) -> str:
    """All rows that may be sent, with the columns that the contacts need."""
    clause = os.environ["BENCHMARK_USABLE"]
    newest = f"QUALIFY {os.environ['BENCHMARK_NEWEST']}" if settle_duplicates else ""
    return f"""SELECT lower(trim(email_address)) AS email, given_name AS first_name, family_name AS last_name, company,
        age, coalesce(plan_code, 'free') AS plan, strftime(created_on, '%Y-%m-%d') AS signed_up
        FROM {TABLE} WHERE {clause} {newest}"""
