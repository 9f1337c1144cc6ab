"""Takes the pictures of the README and the docs from a real Dagster UI on the demo's world.

Run it from the root: `python -m docs.images.take`, or with the names of some pictures. It needs Chromium (or Chrome) in
PATH, which it steers by the browser's own protocol, and nothing else. Everything it starts has ended when it ends;
pictures are written beside this file.
"""

import base64
import dataclasses
import json
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

from pipelines.demo.world import World, dagster_ui, open_world
from pipelines.sample import change_one_percent

HERE = Path(__file__).parent
LOCATION, REPOSITORY = "mailtrap_contacts", "__repository__"
SYNCS_BEFORE = 4
PATIENCE_SECONDS = 600.0
DAYS_OF_HISTORY, DAYS_TAKEN = 365, 30
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--force-device-scale-factor=1", "--remote-debugging-port=0", "--remote-allow-origins=*"),
)
LAUNCH = (
    "mutation($p: ExecutionParams!) {launchRun(executionParams: $p) {... on LaunchRunSuccess {run {runId}}}}"
)
STATUS = "query($run: ID!) {runOrError(runId: $run) {... on Run {status}}}"


def main(names: Sequence[str] = ()) -> int:
    """Make a world, let it live for a few syncs, and take the pictures."""
    wanted = [each for each in PICTURES if not names or each[0] in names]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder, today = Path(name), datetime.now(UTC).date()
        with open_world(folder / "world", today=today) as made:
            world = with_history(made)
            with dagster_ui(world) as ui, browser(folder / "profile") as page:
                live(world, ui)
                for picture, size, take in wanted:
                    page.resize(*size)
                    take(page, ui)
                    (HERE / f"{picture}.png").write_bytes(page.picture())
    return 0


def with_history(world: World) -> World:
    """Beside the demo's sync the same one by days, with a schedule: what a backfill looks like."""
    folder = world.folder / "syncs"
    shutil.copytree(world.environ["CONTACTS_SYNCS"], folder)
    start = datetime.now(UTC).date() - timedelta(days=DAYS_OF_HISTORY)
    plain = (folder / "newsletter.yaml").read_text()
    by_day = plain.replace("sync: newsletter", "sync: history").replace(
        "  updated_at: updated_at", f"  updated_at: updated_at\n  partition: {{by: day, start: {start}}}"
    )
    (folder / "history.yaml").write_text(by_day)
    return dataclasses.replace(world, environ={**world.environ, "CONTACTS_SYNCS": str(folder)})


def live(world: World, ui: str) -> None:
    """Some syncs with changes between them, and an export and its comparison."""
    for number in range(SYNCS_BEFORE):
        run(ui, "sync_newsletter")
        if number < SYNCS_BEFORE - 1:
            change_one_percent(world.warehouse, now=datetime.now(UTC), seed=number)
    run(ui, "drift_newsletter")


def run(ui: str, job: str, **tags: Any) -> None:
    """Launch a job as its launchpad does, and wait for it."""
    selector = {"repositoryLocationName": LOCATION, "repositoryName": REPOSITORY, "jobName": job}
    metadata = {"tags": [{"key": key, "value": str(value)} for key, value in tags.items()]}
    asked = {"selector": selector, "mode": "default", "executionMetadata": metadata}
    launched = ask(ui, LAUNCH, p=asked)
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
    with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:  # noqa: S310
        return json.load(answer)["data"]


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a browser, spoken to by the Chrome DevTools Protocol."""

    connection: ClientConnection
    sent: list[str] = field(default_factory=list)

    def do(self, method: str, **parameters: Any) -> Any:
        """Call a method of the protocol; events that come meanwhile are left aside."""
        self.sent.append(method)
        number = len(self.sent)
        self.connection.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while (answer := json.loads(self.connection.recv(PATIENCE_SECONDS))).get("id") != number:
            pass
        if "error" in answer:
            raise SystemExit(f"{method}: {answer['error']['message']}")
        return answer["result"]

    def get(self, url: str) -> None:
        """Go there."""
        self.do("Page.navigate", url=url)

    def resize(self, width: int, height: int) -> None:
        """As if the window had that many pixels."""
        self.do(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def evaluate(self, expression: str) -> Any:
        """What an expression of JavaScript comes to."""
        return self.do("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def press(self, xpath: str) -> None:
        """Click in the middle of the first such thing that can be seen, as a mouse does."""
        found = self.evaluate(FIRST_SEEN.replace("XPATH", json.dumps(xpath)))
        if found is None:
            raise SystemExit(f"There is nothing to press: {xpath}")
        for kind in ("mousePressed", "mouseReleased"):
            where = {"x": found[0], "y": found[1], "button": "left", "clickCount": 1}
            self.do("Input.dispatchMouseEvent", type=kind, **where)
        time.sleep(2)

    def picture(self) -> bytes:
        """What is to be seen, as a PNG."""
        return base64.b64decode(self.do("Page.captureScreenshot", format="png")["data"])


FIRST_SEEN = """(() => {
  const found = document.evaluate(XPATH, document, null, XPathResult.ORDERED_NODE_SNAPSHOT_TYPE);
  for (let at = 0; at < found.snapshotLength; at++) {
    const box = found.snapshotItem(at).getBoundingClientRect();
    if (box.width && box.height) return [box.x + box.width / 2, box.y + box.height / 2];
  }
  return null;
})()"""


@contextmanager
def browser(profile: Path) -> Iterator[Page]:
    """A Chromium with a profile of its own."""
    binary = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if binary is None:
        raise SystemExit(
            f"No browser was found. Install one of: {', '.join(BROWSERS)} (on Debian: apt install chromium)."
        )
    process = subprocess.Popen(  # noqa: S603 - a browser that was found in PATH
        [binary, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with connect(_address(profile), max_size=None) as connection:
            yield Page(connection)
    finally:
        process.terminate()
        process.wait(30)


def _address(profile: Path) -> str:
    """Where the browser's first page listens; it writes the port into its profile once it does."""
    note, deadline = profile / "DevToolsActivePort", time.monotonic() + PATIENCE_SECONDS
    while not note.exists() or "\n" not in note.read_text():
        if time.monotonic() > deadline:
            raise SystemExit("The browser did not start.")
        time.sleep(0.2)
    port = note.read_text().split("\n", maxsplit=1)[0]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=60) as answer:
        pages = [each for each in json.load(answer) if each["type"] == "page"]
    return str(pages[0]["webSocketDebuggerUrl"])


def graph(page: Page, ui: str) -> None:
    """The tables of a sync, with what they read and whom they ask."""
    page.get(f"{ui}/locations/{LOCATION}/asset-groups/newsletter/lineage")
    settle(page, "contact_imports")


def runs(page: Page, ui: str) -> None:
    """Each run with its counts."""
    page.get(f"{ui}/runs")
    settle(page, "contacts/accepted")


def imports(page: Page, ui: str) -> None:
    """Where every row went."""
    page.get(f"{ui}/assets/newsletter/contact_imports")
    settle(page, "where_every_row_went")


def plots(page: Page, ui: str) -> None:
    """How that has changed from run to run."""
    imports(page, ui)
    page.press("//*[normalize-space(text())='Plots']")
    settle(page, "rows_accepted")


def launchpad(page: Page, ui: str) -> None:
    """What an analyst fills in, with what each line means beside it."""
    page.get(f"{ui}/locations/{LOCATION}/jobs/export_contacts/playground")
    settle(page, "Launch Run")
    page.press("//*[contains(@class, 'CodeMirror-line')]//*[contains(text(), 'membership')]")


def partitions(page: Page, ui: str) -> None:
    """A year of days, of which the first were sent: which are in, which are not."""
    first = datetime.now(UTC).date() - timedelta(days=DAYS_OF_HISTORY)
    bounds = {"start": first, "end": first + timedelta(days=DAYS_TAKEN)}
    run(ui, "sync_history", **{f"dagster/asset_partition_range_{name}": day for name, day in bounds.items()})
    page.get(f"{ui}/assets/history/contact_imports?view=partitions")
    settle(page, "Materialized")


def settle(page: Page, text: str) -> None:
    """Wait until the page shows this text, and then for what follows it."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while text not in str(page.evaluate("document.body && document.body.innerText")):
        if time.monotonic() > deadline:
            raise SystemExit(f"{page.evaluate('location.href')} never showed {text!r}")
        time.sleep(0.5)
    time.sleep(5)


PICTURES = (
    ("ui-graph", (1600, 560), graph),
    ("ui-runs", (1500, 740), runs),
    ("ui-imports", (1500, 1050), imports),
    ("ui-plots", (1500, 1150), plots),
    ("ui-launchpad", (1500, 900), launchpad),
    ("ui-partitions", (1500, 900), partitions),
)

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
