"""Mailtrap, spoken to by one small client: `settings` make a `client`, which knows nothing of Dagster.

`wire`, `complaints`, `budget`, `polls` and `retries` decide and touch nothing; `client`, `meter`, `connection`
and `downloads` act. What a row means to us belongs in `assets/rules/`, never here.
"""
