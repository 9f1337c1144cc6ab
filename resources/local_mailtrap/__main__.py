"""`python -m resources.local_mailtrap`: one process on loopback, one JSON line when it is ready, ends on SIGTERM.

Belongs here: arguments, the token from the environment, signals. Not here: anything that an answer depends on.
"""

import argparse
import asyncio
import json
import os
import secrets
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from resources.errors import ConnectorError, SettingsError
from resources.local_mailtrap.admin import PREFIX
from resources.local_mailtrap.clock import real_clock
from resources.local_mailtrap.mailtrap import LocalMailtrap
from resources.local_mailtrap.server import Listening, listen

EXAMPLES = """Examples:
  mailtrap-contacts local-mailtrap
  mailtrap-contacts local-mailtrap --port 8080 --seed contacts.json"""


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT."""
    options = _options(argv)
    given = os.environ.get("MAILTRAP_API_TOKEN")
    mailtrap = LocalMailtrap(
        token=given or secrets.token_hex(16), admin_token=os.environ.get("LOCAL_MAILTRAP_ADMIN_TOKEN"),
        clock=real_clock(), seed=options.random_seed,
    )  # fmt: skip
    for name, wanted in (("knobs", options.knobs), ("seed", options.seed)):
        if wanted:
            content = json.loads(Path(wanted).read_text(encoding="utf-8"))
            mailtrap.knobs.turn(content) if name == "knobs" else mailtrap.seed(content)
    try:
        listening = listen(mailtrap, port=options.port, storage_port=options.storage_port)
    except OSError as error:
        raise SettingsError(
            f"The local Mailtrap cannot listen on port {options.port} and {options.storage_port}: {error.strerror}.",
            "Somebody else may listen there: another local Mailtrap, perhaps.",
            "Name other ports with --port and --storage-port, or leave them out: free ones are taken then.",
        ) from None
    asyncio.run(_serve(listening, tell_token=not given))
    return 0


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="mailtrap-contacts local-mailtrap",
        description="A Mailtrap contacts API in memory, on loopback; prints its addresses as one JSON line.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--port", type=int, default=0, help="of the API; 0 picks a free one (default)")
    parser.add_argument(
        "--storage-port", type=int, default=0, help="of the storage host; 0 picks a free one (default)"
    )
    parser.add_argument("--seed", help="a JSON file with lists, fields, contacts … to begin with")
    parser.add_argument("--knobs", help="a JSON file with knobs to turn")
    parser.add_argument(
        "--random-seed", type=int, default=0, help="of ids and of faults that strike by chance (default: 0)"
    )
    return parser.parse_args(argv)


async def _serve(listening: Listening, *, tell_token: bool) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, listening.stop)
    serving = asyncio.create_task(listening.serve())
    while not listening.started and not serving.done():  # noqa: ASYNC110
        await asyncio.sleep(0.005)  # uvicorn tells by a flag, not by an event
    mailtrap = listening.mailtrap
    ready = {
        "api": mailtrap.api_origin,
        "storage": mailtrap.storage_origin,
        "admin": mailtrap.api_origin + PREFIX,
        "admin_token": mailtrap.admin_token,
    }
    print(json.dumps(ready | ({"token": mailtrap.token} if tell_token else {})), flush=True)  # noqa: T201 - the one line
    await serving


if __name__ == "__main__":
    try:
        sys.exit(main())
    except ConnectorError as told:
        print(told, file=sys.stderr)  # noqa: T201
        sys.exit(told.exit_code)
