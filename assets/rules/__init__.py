"""Decisions, and nothing but decisions: no Dagster, no HTTP, no resources, no clock of their own."""
