"""What every test starts from: an environment without anybody's settings, and no telemetry.

Runs in this process and in each worker before any test is collected.
"""

import os

import pytest

for name in list(os.environ):
    if name.startswith(("CONTACTS_", "MAILTRAP_", "DAGSTER_")):
        del os.environ[name]
os.environ["DAGSTER_DISABLE_TELEMETRY"] = "1"


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that hold slow tests, so that no worker waits for one of them at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)
