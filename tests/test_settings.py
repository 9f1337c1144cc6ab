"""Every setting reaches the code, every resource says what its fields mean, and secrets stay unseen.

How a single setting is read and refused is tested in tests/resources/test_settings.py.
"""

import ast
import re

import pytest

from resources.alerts.settings import AlertsResource
from resources.mailtrap.settings import MailtrapResource
from resources.settings import BY_NAME, SETTINGS, Settings
from resources.store.settings import StoreResource
from resources.warehouses.settings import WarehouseResource, WriteBackResource
from tests.tree import modules, syntax

RESOURCES = (StoreResource, MailtrapResource, WarehouseResource, WriteBackResource, AlertsResource)
TABLE = "resources/settings.py"
# The operator's surface: others script against these names.
PROMISED = {
    "MAILTRAP_API_TOKEN", "MAILTRAP_ACCOUNT_ID", "MAILTRAP_API_URL", "MAILTRAP_PATH_STYLE", "MAILTRAP_DOWNLOAD_HOSTS",
    "CONTACTS_HOME", "CONTACTS_LAKE", "CONTACTS_JOURNAL", "CONTACTS_KEY", "CONTACTS_SYNCS", "CONTACTS_WAREHOUSE",
    "CONTACTS_ROWS_PER_PAYLOAD", "CONTACTS_BYTES_PER_PAYLOAD", "MAILTRAP_CONTACTS_LIMIT", "MAILTRAP_TOKEN_LIMIT",
    "MAILTRAP_SUPPRESSIONS_LIMIT", "CONTACTS_POLL_SECONDS", "CONTACTS_JOB_DEADLINE_SECONDS", "CONTACTS_TIMEOUT_SECONDS", "CONTACTS_ALERT_WEBHOOK",
}  # fmt: skip


def constants_outside_the_table() -> dict[str, str]:
    """Every text in the code that is exactly the name of an environment variable of ours, with where it stands."""
    return {
        node.value: f"{path}:{node.lineno}"
        for path in modules()
        if path.as_posix() != TABLE
        for node in ast.walk(syntax(path))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if re.fullmatch(r"(?:CONTACTS|MAILTRAP)_[A-Z_]*[A-Z]", node.value)
    }


def attributes_outside_the_table() -> set[str]:
    """Every attribute that the code reads from something."""
    return {
        node.attr
        for path in modules()
        if path.as_posix() != TABLE
        for node in ast.walk(syntax(path))
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)
    }


def test_no_promised_setting_is_missing() -> None:
    """Whoever scripted against a name finds it; a new one may be added, an old one may not go."""
    assert set(BY_NAME) >= PROMISED


def test_every_setting_has_an_effect_somewhere() -> None:
    """What is read from the environment is used by the code, not only declared."""
    assert set(Settings.__slots__) - attributes_outside_the_table() == set()


def test_the_code_reads_no_setting_that_is_not_in_the_table() -> None:
    """A variable that works but is described nowhere would be a secret of this code."""
    unknown = {name: where for name, where in constants_outside_the_table().items() if name not in BY_NAME}
    assert unknown == {}


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda each: each.__name__)
def test_every_field_of_a_resource_is_described(resource: type) -> None:
    """The launchpad of the Dagster UI says of each field what it means."""
    fields = resource.model_fields  # type: ignore[attr-defined]
    assert [name for name, field in fields.items() if not field.description] == []


def test_secrets_are_not_printed_with_a_resource() -> None:
    """The repr of a resource ends in logs: what the table calls secret is left out of it."""
    shown = {
        f"{resource.__name__}.{name}"
        for resource in RESOURCES
        for name, field in resource.model_fields.items()
        for setting in SETTINGS
        if setting.secret and setting.meaning in (field.description or "") and field.repr
    }
    assert shown == set()
    assert WarehouseResource.model_fields["url"].repr is False
