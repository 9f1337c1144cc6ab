"""What we keep, opened together: home, lake, journal. `store` is plain, `settings` is for Dagster."""
