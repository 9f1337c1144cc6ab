"""Mailtrap's own Node SDK as a client: every contacts call.

Skipped without node, or where node does not find the package `mailtrap` (NODE_PATH); nothing is installed from here.
"""

import json
import shutil
import subprocess
from pathlib import Path

import httpx
import pytest

from resources.local_mailtrap import LocalMailtrap

SCRIPT = Path(__file__).with_name("node_sdk.cjs")
NODE = shutil.which("node")


def has_sdk() -> bool:
    """Whether node finds the SDK."""
    command = [NODE or "node", "-e", "require.resolve('mailtrap')"]
    return NODE is not None and subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not has_sdk(), reason="node or its package mailtrap is not installed")
def test_every_contacts_call(local_mailtrap_server: LocalMailtrap) -> None:
    """What the SDK hands to its user is what was sent, and errors carry Mailtrap's words."""
    server = local_mailtrap_server
    command = [NODE or "node", str(SCRIPT), server.api_origin, server.token, str(server.account.id)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["lists"] == [
        [{"id": seen["renamed"]["id"], "name": "Customers"}],
        {"id": seen["renamed"]["id"], "name": "Customers"},
    ]
    assert seen["fields"][0] == 3 and seen["field"]["name"] == "Years"
    assert seen["made"] == seen["found"] and seen["made"]["email"] == "ada@example.com"
    assert (seen["updated"]["action"], seen["updated"]["data"]["status"]) == ("updated", "unsubscribed")
    assert seen["event"]["contact_id"] == seen["made"]["id"]
    assert (seen["started"], seen["imported"]["created_contacts_count"]) == ("created", 2)
    assert "is invalid" in seen["refusedImport"] or "nope" in seen["refusedImport"]
    assert httpx.get(seen["exported"]["url"]).status_code == 200
    assert seen["suppressions"] == [] and seen["gone"] == "Not Found"
    assert seen["accounts"][0]["id"] == server.account.id
    assert not server.account.lists and len(server.account.contacts) == 2
