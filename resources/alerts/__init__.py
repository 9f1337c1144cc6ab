"""Alerts: short messages to people, by a webhook of their chat. `webhook` is plain, `settings` is for Dagster."""
