"""Pages of operations."""

from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from activity import revisions
from activity.models import Account, Operation
from tests.make import make_operation

PART = {"HX-Request": "true", "HX-Request-Type": "partial"}


def test_the_list_shows_who_asked_for_what(client: Client, viewer: User, account: Account) -> None:
    """Newest first, with the error of what failed."""
    make_operation(account, subject="first", actor_name="otto")
    make_operation(account, subject="second", state="failed", error="No cores.", finished_at=timezone.now())
    client.force_login(viewer)
    response = client.get("/zoobot/operations/")
    text = response.content.decode()
    assert [row.subject for row in response.context["page"].rows] == ["second", "first"]
    assert "otto" in text
    assert "No cores." in text
    assert [row.subject for row in client.get("/zoobot/operations/?q=fir").context["page"].rows] == ["first"]
    assert [
        row.subject for row in client.get("/zoobot/operations/?state=unsettled").context["page"].rows
    ] == ["first"]


def test_an_operation_is_followed_until_it_is_settled(client: Client, viewer: User, account: Account) -> None:
    """Its part polls while it is in flight, and no longer."""
    operation = make_operation(account)
    address = f"/zoobot/operations/{operation.uuid}/"
    client.force_login(viewer)
    response = client.get(address, headers=PART)
    assert "<html" not in response.content.decode()
    assert 'hx-trigger="every 2s"' in response.content.decode()
    assert client.get(address, headers={**PART, "HX-PTag": response["HX-PTag"]}).status_code == 304
    Operation.objects.update(state="succeeded", finished_at=timezone.now())
    revisions.bump(account, "operations")
    assert "hx-trigger" not in client.get(address, headers=PART).content.decode()


def test_an_operation_can_be_cancelled(
    client: Client, viewer: User, submitter: User, account: Account
) -> None:
    """By who asked for it, if a submitter; once it is settled there is nothing to cancel."""
    theirs = make_operation(account, subject="theirs")
    operation = make_operation(account, actor=submitter)
    address = f"/zoobot/operations/{operation.uuid}/"
    client.force_login(viewer)
    assert "Cancel operation" not in client.get(address).content.decode()
    assert client.post(f"{address}cancel/").status_code == 403
    client.force_login(submitter)
    assert "Cancel operation" not in client.get(f"/zoobot/operations/{theirs.uuid}/").content.decode()
    client.post(f"/zoobot/operations/{theirs.uuid}/cancel/")
    theirs.refresh_from_db()
    assert theirs.state == "pending"
    assert "Cancel operation" in client.get(address).content.decode()
    assert client.post(f"{address}cancel/")["Location"] == address
    operation.refresh_from_db()
    assert operation.state == "cancelled"
    said = client.post(f"{address}cancel/", follow=True).content.decode()
    assert 'role="alert"' in said


def test_many_operations_are_paged(client: Client, viewer: User, account: Account) -> None:
    """A wrong cursor begins at the first page."""
    for number in range(60):
        make_operation(account, subject=f"s{number}")
    client.force_login(viewer)
    first = client.get("/zoobot/operations/").context["page"]
    second = client.get(f"/zoobot/operations/?{first.next_query}").context["page"]
    assert len(first.rows) + len(second.rows) == 60
    assert client.get("/zoobot/operations/?after=nonsense").context["page"].is_first
