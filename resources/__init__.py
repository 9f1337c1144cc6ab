"""Whom do we talk to?  Mailtrap, warehouses, the lake, the journal.

Nothing in here imports `assets` or `pipelines`, and nothing outside `*/settings.py` imports Dagster.
"""
