"""What every test starts from: an environment without anybody's settings, and no telemetry.

Runs in this process and in each worker before any test is collected.
"""

import os

for name in list(os.environ):
    if name.startswith(("CONTACTS_", "MAILTRAP_", "DAGSTER_")):
        del os.environ[name]
os.environ["DAGSTER_DISABLE_TELEMETRY"] = "1"
