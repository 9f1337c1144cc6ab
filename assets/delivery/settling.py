"""What earlier runs left in flight, settled before anything new is done: asked about or looked into, never sent again.

Belongs here: when that is done, and what it means for whoever comes next. Not here: the loop that does it (`delivery`).
"""

from assets import summary
from assets.delivery.loop import WAIT_FOR_ACCOUNT_SECONDS, Delivering, Pace, Timing
from assets.delivery.overdue import Overdue, overdue_in, still_at_work
from resources.journal import IN_FLIGHT, Lease
from resources.mailtrap.client import MailtrapClient
from resources.store.store import Store


def settle(client: MailtrapClient, store: Store, *, timing: Timing | None = None) -> None:
    """Finish what earlier runs left in flight, before anything new is planned; what is overdue waits."""
    account = str(client.account_id)
    if not store.journal.open_deliveries(account):
        return
    with store.journal.lease(f"account:{account}", wait_seconds=WAIT_FOR_ACCOUNT_SECONDS) as lease:
        settle_under(client, store, lease, timing=timing)


def settle_wholly(client: MailtrapClient, store: Store, lease: Lease) -> None:
    """The same, for work that no import may outlast: one that ends later would bring back who was deleted."""
    overdue = settle_under(client, store, lease)
    if overdue:
        raise still_at_work(len(overdue))


def settle_under(
    client: MailtrapClient, store: Store, lease: Lease, *, timing: Timing | None = None
) -> list[Overdue]:
    """The same, for a run that holds the account already; runs that were killed get their summaries.

    Gives the imports that should have ended long ago: the people in them must not be written to.
    """
    loop = Delivering(client, store.journal, store.lake, lease=lease, pace=pace_of(store), timing=timing)
    left, overdue = 0, list[Overdue]()
    for delivery, told in loop.settle_former(str(client.account_id)):
        waiting = len(store.journal.payloads(delivery, states=IN_FLIGHT))
        late = overdue_in(store.journal, delivery, deadline_seconds=store.job_deadline_seconds)
        left += waiting - len(late)
        overdue += late
        if waiting == len(late):
            summary.keep_of_killed(store.lake, delivery, told)
        for problem in told.problems:
            if problem.outcome == "config":
                raise problem
    if left:
        raise still_at_work(left)
    return overdue


def pace_of(store: Store) -> Pace:
    """How fast the store's settings let a run go."""
    return Pace(
        rows_per_payload=store.rows_per_payload,
        bytes_per_payload=store.bytes_per_payload,
        poll_seconds=store.poll_seconds,
        deadline_seconds=store.job_deadline_seconds,
    )
