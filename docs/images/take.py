"""Takes the pictures of the README and the docs from a real Dagster UI on the demo's world.

Run it from the root: `python -m docs.images.take`. It needs what the project does not: Chromium with its driver, and
`pip install selenium`. Everything it starts has ended when it ends; pictures are written beside this file.
"""

import json
import shutil
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from selenium import webdriver  # type: ignore[import-not-found]
from selenium.webdriver.common.by import By  # type: ignore[import-not-found]

from pipelines.demo.world import World, dagster_ui, open_world
from pipelines.sample import change_one_percent

HERE = Path(__file__).parent
LOCATION, REPOSITORY = "mailtrap_contacts", "__repository__"
SYNCS_BEFORE = 4
PATIENCE_SECONDS = 180.0
FLAGS = (
    *(
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        "--force-device-scale-factor=1",
    ),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"),
)
LAUNCH = (
    "mutation($p: ExecutionParams!) {launchRun(executionParams: $p) {... on LaunchRunSuccess {run {runId}}}}"
)
STATUS = "query($run: ID!) {runOrError(runId: $run) {... on Run {status}}}"


def main() -> int:
    """Make a world, let it live for a few syncs, and take the pictures."""
    with tempfile.TemporaryDirectory() as folder:
        today = datetime.now(UTC).date()
        with open_world(Path(folder) / "world", today=today) as world, dagster_ui(world) as ui:
            live(world, ui)
            with browser(Path(folder) / "profile") as chrome:
                for name, size, take in PICTURES:
                    chrome.set_window_size(*size)
                    take(chrome, ui)
                    chrome.save_screenshot(str(HERE / f"{name}.png"))
    return 0


def live(world: World, ui: str) -> None:
    """Some syncs with changes between them, an export and its comparison, so that there is something to plot."""
    for number in range(SYNCS_BEFORE):
        run(ui, "sync_newsletter")
        if number < SYNCS_BEFORE - 1:
            change_one_percent(world.warehouse, now=datetime.now(UTC), seed=number)
    run(ui, "drift_newsletter")


def run(ui: str, job: str) -> None:
    """Launch a job as its launchpad does, and wait for it."""
    selector = {"repositoryLocationName": LOCATION, "repositoryName": REPOSITORY, "jobName": job}
    launched = ask(ui, LAUNCH, p={"selector": selector, "mode": "default"})
    run_id = launched["launchRun"]["run"]["runId"]
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (status := ask(ui, STATUS, run=run_id)["runOrError"]["status"]) != "SUCCESS":
        if status in ("FAILURE", "CANCELED") or time.monotonic() > deadline:
            raise SystemExit(f"{job}: {status}")
        time.sleep(1)


def ask(ui: str, query: str, **variables: Any) -> Any:
    """Ask the UI's server."""
    body = json.dumps({"query": query, "variables": variables}).encode()
    request = urllib.request.Request(f"{ui}/graphql", body, {"Content-Type": "application/json"})  # noqa: S310 - loopback
    with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310
        return json.load(answer)["data"]


@contextmanager
def browser(profile: Path) -> Iterator[Any]:
    """A Chromium with a profile of its own."""
    options = webdriver.ChromeOptions()
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome") or ""
    driver = webdriver.ChromeService(executable_path=shutil.which("chromedriver"))
    chrome = webdriver.Chrome(options=options, service=driver)
    try:
        yield chrome
    finally:
        chrome.quit()


def graph(chrome: Any, ui: str) -> None:
    """The tables of a sync, with what they read and whom they ask."""
    chrome.get(f"{ui}/locations/{LOCATION}/asset-groups/newsletter/lineage")
    settle(chrome, "contact_imports")


def imports(chrome: Any, ui: str) -> None:
    """Where every row went."""
    chrome.get(f"{ui}/assets/newsletter/contact_imports")
    settle(chrome, "where_every_row_went")


def plots(chrome: Any, ui: str) -> None:
    """How that has changed from run to run."""
    imports(chrome, ui)
    press(chrome, "//*[normalize-space(text())='Plots']")
    settle(chrome, "rows_accepted")


def launchpad(chrome: Any, ui: str) -> None:
    """What an analyst fills in, with what each line means beside it."""
    chrome.get(f"{ui}/locations/{LOCATION}/jobs/export_contacts/playground")
    settle(chrome, "Launch Run")
    press(chrome, "//*[contains(@class, 'CodeMirror-line')]//*[contains(text(), 'membership')]")


def settle(chrome: Any, text: str) -> None:
    """Wait until the page shows this text, and then for what follows it."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while text not in chrome.find_element(By.TAG_NAME, "body").text:
        if time.monotonic() > deadline:
            raise SystemExit(f"{chrome.current_url} never showed {text!r}")
        time.sleep(0.5)
    time.sleep(4)


def press(chrome: Any, xpath: str) -> bool:
    """Press the first such thing that can be seen, if there is one."""
    for found in [each for each in chrome.find_elements(By.XPATH, xpath) if each.is_displayed()][:1]:
        found.click()
        time.sleep(2)
        return True
    return False


PICTURES = (
    ("ui-graph", (1600, 1000), graph),
    ("ui-imports", (1500, 1050), imports),
    ("ui-plots", (1500, 1150), plots),
    ("ui-launchpad", (1500, 900), launchpad),
)

if __name__ == "__main__":
    sys.exit(main())
