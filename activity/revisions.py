"""Count changes per account and topic; pages answer “not modified” from these numbers.

Topics in use: `operations`, `pools`, `jobs`, `sync`, and one per thing, such as `pool:training_1` or `job:<id>`.
"""

from django.db.models import F

from activity.models import Account, Revision


def bump(account: Account, *topics: str) -> None:
    """Count one change of each topic; to be called in the transaction that makes the change."""
    # Sorted: two transactions that take the same rows in the same order cannot deadlock.
    for topic in sorted(set(topics)):
        mine = Revision.objects.filter(account=account, topic=topic)
        if not mine.update(number=F("number") + 1):
            Revision.objects.bulk_create(
                [Revision(account=account, topic=topic, number=0)], ignore_conflicts=True
            )
            mine.update(number=F("number") + 1)


def tag(account: Account, *topics: str) -> str:
    """Return a text that changes whenever one of the topics does; one indexed read."""
    found = dict(Revision.objects.filter(account=account, topic__in=topics).values_list("topic", "number"))
    return "-".join(str(found.get(topic, 0)) for topic in topics)
