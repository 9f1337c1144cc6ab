"""The first five minutes, on sample data and a Mailtrap of one's own: `make demo`, `make dev`.

`world` is where it happens, `walk` what happens, `narration` what is shown of it, `__main__` start and end.
"""
