"""Everything that can go wrong, sorted by what to do next.

    ConnectorError
    ├── SettingsError        mend a setting or a sync file; never retried
    ├── GuardError           the data looks wrong: a guard stopped the run before anything was sent
    ├── WarehouseError       the source cannot be read (its `outcome` says whether a retry can help)
    ├── MailtrapError
    │   ├── RefusedError         401, 403, 404, 422: a retry changes nothing
    │   ├── UnavailableError     408, 429, 5xx, no connection: retried within bounds, then this
    │   ├── ImportFailedError    Mailtrap gave up on an import, or its counts do not add up
    │   └── UnfinishedError      we stopped waiting; the next run asks again
    ├── LakeError            our own files
    └── JournalError         our own records

A message has three parts: what happened, what it means, what to do. It holds ids and counts, never an
address, a name, a token or a body. How errors reach Dagster is decided in `assets/failures.py`.
"""

from typing import ClassVar, Literal

Outcome = Literal["config", "data", "transient", "unknown"]

OUTCOME_NOTE = "outcome: "
"""The note of an error whose outcome its class does not tell, for those who get only its words (a Dagster event)."""
EXIT_CODES: dict[str, int] = {"ok": 0, "config": 2, "data": 3, "transient": 4, "unknown": 5}


class ConnectorError(Exception):
    """Something a person can understand and act on: what happened, what it means, what to do."""

    outcome: Outcome = "unknown"
    retry_helps: ClassVar[bool] = False

    def __init__(self, happened: str, meaning: str = "", remedy: str = "") -> None:
        self.happened, self.meaning, self.remedy = happened, meaning, remedy
        super().__init__(" ".join(part for part in (happened, meaning, remedy) if part))

    @property
    def exit_code(self) -> int:
        """The exit code of the command when this error ends it."""
        return EXIT_CODES[self.outcome]


class SettingsError(ConnectorError):
    """A setting or a sync file is wrong; no retry mends that."""

    outcome = "config"


class GuardError(ConnectorError):
    """A guard stopped the run: the data looks wrong, and nothing was sent."""

    outcome = "data"


class WarehouseError(ConnectorError):
    """The source could not be read."""

    outcome: Outcome = "config"

    def __init__(
        self, happened: str, meaning: str = "", remedy: str = "", *, outcome: Outcome = "config"
    ) -> None:
        super().__init__(happened, meaning, remedy)
        self.outcome = outcome
        self.add_note(f"{OUTCOME_NOTE}{outcome}")


class MailtrapError(ConnectorError):
    """Mailtrap said no, said nothing, or said something that we cannot trust."""


class RefusedError(MailtrapError):
    """Mailtrap refused the request; asking again changes nothing."""

    outcome = "config"

    def __init__(self, happened: str, meaning: str = "", remedy: str = "", *, status: int = 0) -> None:
        super().__init__(happened, meaning, remedy)
        self.status = status


class UnavailableError(MailtrapError):
    """Mailtrap could not be reached, or was too busy, for longer than we wait."""

    outcome = "transient"
    retry_helps = True


class ImportFailedError(MailtrapError):
    """Mailtrap gave up on an import, or what it reports does not add up."""

    outcome = "unknown"


class UnfinishedError(MailtrapError):
    """Mailtrap is still at work and we stopped waiting; the next run asks again."""

    outcome = "transient"
    retry_helps = True


class LakeError(ConnectorError):
    """A file of ours could not be read or written."""

    outcome = "unknown"


class JournalError(ConnectorError):
    """The journal could not be read or written."""

    outcome = "transient"
    retry_helps = True


class HeldError(JournalError):
    """Another run holds what this one wants to hold."""
