"""Pages of pools: parts that refresh themselves, forms, confirmations."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from activity import revisions
from activity.models import Account, Operation
from pools.models import Pool
from tests.make import (
    cpu_size,
    gpu_size,
    make_image,
    make_job,
    make_node,
    make_operation,
    make_pool,
    make_registry,
    make_storage,
    make_vm_image,
)

PART = {"HX-Request": "true", "HX-Request-Type": "partial"}


@pytest.fixture
def given(account: Account) -> dict[str, Any]:
    """Return a form that asks for a good pool."""
    registry = make_registry(account, login_server="zoo.azurecr.io", is_default=True)
    image = make_image(account, repository="pytorch", tag="2.0-gpu", cuda_version="12.4")
    storage = make_storage(account, is_default=True)
    return {
        "batch_id": "gpu_1",
        "registry": registry.pk,
        "repository": image.repository_id,
        "picked": "zoo.azurecr.io/pytorch:2.0-gpu",
        "pins_digest": "on",
        "vm_image": make_vm_image(account).pk,
        "size": gpu_size().pk,
        "scaling": "fixed",
        "dedicated_nodes": "1",
        "low_priority_nodes": "0",
        "slots": "1",
        "fill_type": "spread",
        "mounts": "1",
        "mount-0-storage": storage.pk,
        "mount-0-container_name": "training",
        "mount-0-relative_mount_path": "training",
    }


def test_the_list_is_a_page_and_a_part(client: Client, viewer: User, account: Account) -> None:
    """htmx gets the table alone."""
    make_pool(account, batch_id="training_1")
    client.force_login(viewer)
    page = client.get("/zoobot/pools/")
    part = client.get("/zoobot/pools/", headers=PART)
    assert "<html" in page.content.decode()
    assert "<html" not in part.content.decode()
    assert 'id="pool-table"' in part.content.decode()
    assert "HX-Request" in part["Vary"]


def test_an_unchanged_list_answers_304(client: Client, viewer: User, account: Account) -> None:
    """Until something about pools changes."""
    client.force_login(viewer)
    tag = client.get("/zoobot/pools/", headers=PART)["HX-PTag"]
    again = client.get("/zoobot/pools/", headers={**PART, "HX-PTag": tag})
    assert (again.status_code, again.content) == (304, b"")
    revisions.bump(account, "pools")
    assert client.get("/zoobot/pools/", headers={**PART, "HX-PTag": tag}).status_code == 200


def test_an_unchanged_list_costs_few_queries(
    client: Client, viewer: User, account: Account, django_assert_num_queries: Any
) -> None:
    """Session, user, what the user may see, the account, the role, and one read of the revision."""
    client.force_login(viewer)
    tag = client.get("/zoobot/pools/", headers=PART)["HX-PTag"]
    with django_assert_num_queries(6):
        client.get("/zoobot/pools/", headers={**PART, "HX-PTag": tag})


def test_the_list_polls_fast_while_something_changes(client: Client, viewer: User, account: Account) -> None:
    """And slowly when all has settled."""
    pool = make_pool(account)
    client.force_login(viewer)
    assert 'hx-trigger="every 15s"' in client.get("/zoobot/pools/").content.decode()
    pool.allocation_state = "resizing"
    pool.save()
    assert 'hx-trigger="every 2s"' in client.get("/zoobot/pools/").content.decode()


def test_the_list_costs_the_same_with_many_pools(
    client: Client, viewer: User, account: Account, django_assert_max_num_queries: Any
) -> None:
    """No query per row."""
    image, size = make_image(account), gpu_size()
    for _ in range(20):
        make_pool(account, image=image, size=size, container_image=image.reference)
    client.force_login(viewer)
    with django_assert_max_num_queries(14):
        assert client.get("/zoobot/pools/").status_code == 200


def test_the_list_is_paged_by_key(client: Client, viewer: User, account: Account) -> None:
    """Each pool is on exactly one page."""
    for number in range(60):
        make_pool(account, batch_id=f"p{number:03}")
    client.force_login(viewer)
    first = client.get("/zoobot/pools/").context["page"]
    second = client.get(f"/zoobot/pools/?{first.next_query}").context["page"]
    names = [pool.batch_id for pool in [*first.rows, *second.rows]]
    assert names == [f"p{number:03}" for number in range(60)]
    assert second.next_query == ""


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("q=Train", ["training_1"]),
        ("state=error", ["broken"]),
        ("state=deleted", ["gone"]),
        ("", ["broken", "training_1"]),
    ],
)
def test_the_list_can_be_narrowed_down(
    query: str, found: list[str], client: Client, viewer: User, account: Account
) -> None:
    """By the beginning of the id whatever its case, and by state; deleted pools only when asked for."""
    from django.utils import timezone

    make_pool(account, batch_id="training_1")
    make_pool(account, batch_id="broken", problem="Azure said no.", synced_hash="")
    make_pool(account, batch_id="gone", deleted_at=timezone.now())
    client.force_login(viewer)
    page = client.get(f"/zoobot/pools/?{query}").context["page"]
    assert [pool.batch_id for pool in page.rows] == found


def test_a_good_form_asks_for_the_pool(
    client: Client, operator: User, account: Account, given: dict[str, Any]
) -> None:
    """One pool, one operation, and the way to its page."""
    client.force_login(operator)
    response = client.post("/zoobot/pools/new/", given)
    assert response["Location"] == "/zoobot/pools/gpu_1/"
    pool = Pool.objects.get()
    assert pool.container_image == "zoo.azurecr.io/pytorch:2.0-gpu"
    assert [mount.container_name for mount in pool.mounts.all()] == ["training"]
    operation = Operation.objects.get()
    assert (operation.verb, operation.subject, operation.asked_by) == ("create", "gpu_1", "otto")


@pytest.mark.parametrize(
    ("change", "field", "message"),
    [
        ({"batch_id": "has space"}, "batch_id", "no spaces"),
        ({"batch_id": "x" * 65}, "batch_id", "at most 64 characters"),
        ({"batch_id": "TAKEN"}, "batch_id", "exists already"),
        ({"batch_id": "new"}, "batch_id", "choose another id"),
        ({"picked": "", "container_image": ""}, "container_image", "Choose a tag"),
        ({"picked": "", "container_image": "9.9"}, "container_image", "has no tag 9.9"),
        ({"container_image": "zoo.azurecr.io/nothing:1"}, "container_image", "no repository nothing"),
        (
            {"container_image": "other.azurecr.io/pytorch:1"},
            "container_image",
            "no registry other.azurecr.io",
        ),
        ({"size": ""}, "size", "required"),
        ({"vm_image": "0"}, "vm_image", "valid choice"),
        ({"dedicated_nodes": "-1"}, "dedicated_nodes", "greater than or equal to 0"),
        ({"low_priority_nodes": "many"}, "low_priority_nodes", "whole number"),
        ({"slots": "0"}, "slots", "greater than or equal to 1"),
        ({"scaling": "formula", "formula": " "}, "formula", "Give the formula"),
        ({"scaling": "preset", "cap": "0"}, "cap", "greater than or equal to 1"),
    ],
)
def test_bad_input_is_answered_at_its_field(
    change: dict[str, str],
    field: str,
    message: str,
    client: Client,
    operator: User,
    account: Account,
    given: dict[str, Any],
) -> None:
    """422, the message at the field, and nothing that was typed is lost."""
    make_pool(account, batch_id="taken")
    client.force_login(operator)
    response = client.post("/zoobot/pools/new/", {**given, "title": "Kept text", **change})
    assert response.status_code == 422
    assert message in " ".join(response.context["form"].errors[field])
    text = response.content.decode()
    assert message in text
    assert "Kept text" in text
    assert not Operation.objects.exists()


def test_bad_mounts_are_answered_at_their_row(
    client: Client, operator: User, account: Account, given: dict[str, Any]
) -> None:
    """Also when two of them want the same path."""
    client.force_login(operator)
    bad = client.post("/zoobot/pools/new/", {**given, "mount-0-container_name": "Not A Container"})
    assert bad.status_code == 422
    assert "3 to 63 lower-case letters" in bad.content.decode()
    second = {
        "mounts": "2",
        "mount-1-storage": given["mount-0-storage"],
        "mount-1-container_name": "models",
        "mount-1-relative_mount_path": "training",
    }
    twice = client.post("/zoobot/pools/new/", {**given, **second})
    assert twice.status_code == 422
    assert "Two mounts have the path training." in twice.content.decode()


def test_the_preset_becomes_a_formula(
    client: Client, operator: User, account: Account, given: dict[str, Any]
) -> None:
    """With the cap that was asked for, and no fixed number beside it."""
    client.force_login(operator)
    client.post("/zoobot/pools/new/", {**given, "scaling": "preset", "cap": "3", "dedicated_nodes": "5"})
    pool = Pool.objects.get()
    assert pool.is_autoscaled
    assert "cappedPoolSize = 3;" in pool.formula
    assert pool.dedicated_nodes == 0


def test_a_typed_tag_wins_over_a_picked_one(
    client: Client, operator: User, account: Account, given: dict[str, Any]
) -> None:
    """Unless it is only the text that the table was searched by."""
    make_image(account, repository="pytorch", tag="1.10")
    client.force_login(operator)
    client.post("/zoobot/pools/new/", {**given, "container_image": "1.10"})
    client.post("/zoobot/pools/new/", {**given, "container_image": "2.0", "batch_id": "gpu_2"})
    images = Pool.objects.order_by("batch_id").values_list("container_image", flat=True)
    assert list(images) == ["zoo.azurecr.io/pytorch:1.10", "zoo.azurecr.io/pytorch:2.0-gpu"]


def test_choices_without_a_script_keep_what_was_filled_in(
    client: Client, operator: User, account: Account, given: dict[str, Any]
) -> None:
    """The buttons that ask for more choices judge nothing."""
    client.force_login(operator)
    again = client.post("/zoobot/pools/new/", {**given, "batch_id": "not good", "add_mount": "1"})
    assert again.status_code == 200
    assert len(again.context["rows"].forms) == 2
    assert 'value="not good"' in again.content.decode()
    plain = client.get(f"/zoobot/pools/new/?repository={given['repository']}")
    assert "2.0-gpu" in plain.content.decode()


def test_the_picker_narrows_step_by_step(
    client: Client, operator: User, account: Account, given: dict[str, Any]
) -> None:
    """Registry, repository, and a search by tag or digest."""
    image = make_image(account, repository="other", tag="blue")
    client.force_login(operator)
    text = client.get(
        f"/zoobot/pools/new/images/?repository={image.repository_id}", headers=PART
    ).content.decode()
    assert "<html" not in text
    assert 'id="image-picker"' in text
    assert "blue" in text
    assert "2.0-gpu" not in text
    query = f"repository={image.repository_id}&container_image=green"
    assert (
        "No tag or digest here contains" in client.get(f"/zoobot/pools/new/images/?{query}").content.decode()
    )


def test_the_summary_shows_the_exact_request_and_warns(
    client: Client, operator: User, account: Account, given: dict[str, Any]
) -> None:
    """A GPU image on a size without GPU is allowed, and said; no secret is shown; nothing is asked."""
    client.force_login(operator)
    response = client.post("/zoobot/pools/new/summary/", {**given, "size": cpu_size().pk}, headers=PART)
    text = response.content.decode()
    assert "has no GPU" in text
    assert "&quot;vmSize&quot;" in text
    assert "(secret)" in text
    assert not Pool.objects.exists()
    assert not Operation.objects.exists()
    unfinished = client.post("/zoobot/pools/new/summary/", {**given, "batch_id": ""}, headers=PART)
    assert unfinished.status_code == 200
    assert "&quot;vmSize&quot;" not in unfinished.content.decode()
    mounted = {
        "mounts": "1",
        "mount-0-storage": make_storage(account).pk,
        "mount-0-container_name": "training",
    }
    mounted |= {"mount-0-relative_mount_path": "training"}
    unfinished = client.post("/zoobot/pools/new/summary/", {**given, **mounted, "batch_id": ""}, headers=PART)
    assert "<dt>Mounts</dt><dd>training</dd>" in unfinished.content.decode()


def test_an_observed_account_refuses_and_says_why(
    client: Client, operator: User, account: Account, given: dict[str, Any]
) -> None:
    """The form stays, nothing is created."""
    account.mode = Account.Mode.OBSERVE
    account.save()
    client.force_login(operator)
    response = client.post("/zoobot/pools/new/", given)
    assert response.status_code == 422
    assert "observe only" in response.content.decode()
    assert not Pool.objects.exists()


def test_a_settled_pool_polls_slowly_and_a_deleted_one_not_at_all(
    client: Client, viewer: User, account: Account
) -> None:
    """An operation in flight makes it fast."""
    from django.utils import timezone

    pool = make_pool(account, batch_id="p")
    client.force_login(viewer)
    assert 'hx-trigger="every 15s"' in client.get("/zoobot/pools/p/").content.decode()
    operation = make_operation(account, subject="p")
    assert (
        'id="pool-live" hx-get="/zoobot/pools/p/" hx-trigger="every 2s"'
        in client.get("/zoobot/pools/p/").content.decode()
    )
    operation.delete()
    pool.deleted_at = timezone.now()
    pool.save()
    assert 'id="pool-live">' in client.get("/zoobot/pools/p/").content.decode()


def test_a_pool_shows_its_nodes_and_why_one_failed(client: Client, viewer: User, account: Account) -> None:
    """With the start task's exit code."""
    pool = make_pool(account, batch_id="p", node_counts={"starttaskfailed": 1})
    info = {"result": "failure", "exit_code": 127, "failure_info": {"message": "no such file"}}
    make_node(pool, state="starttaskfailed", start_task_info=info)
    client.force_login(viewer)
    text = client.get("/zoobot/pools/p/", headers=PART).content.decode()
    assert "Start task failed: exit code 127. no such file" in text
    assert "<html" not in text


def test_a_viewer_sees_no_buttons_that_change_something(
    client: Client, viewer: User, account: Account
) -> None:
    """The addresses would refuse them anyway."""
    make_pool(account, batch_id="p")
    client.force_login(viewer)
    text = client.get("/zoobot/pools/p/").content.decode()
    assert "resize/" not in text
    assert "delete/" not in text


def test_a_resize_is_asked_for(client: Client, operator: User, account: Account) -> None:
    """And redirects to the pool."""
    make_pool(account, batch_id="p")
    client.force_login(operator)
    data = {"dedicated": "3", "low_priority": "1", "deallocation": "taskcompletion", "reason": "Deadline"}
    assert client.post("/zoobot/pools/p/resize/", data)["Location"] == "/zoobot/pools/p/"
    operation = Operation.objects.get()
    assert (operation.verb, operation.reason) == ("resize", "Deadline")
    assert operation.argument("dedicated") == 3


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"dedicated": "-1", "low_priority": "0", "deallocation": "requeue"}, "greater than or equal to 0"),
        ({"dedicated": "", "low_priority": "0", "deallocation": "requeue"}, "required"),
        ({"dedicated": "1", "low_priority": "0", "deallocation": "explode"}, "valid choice"),
    ],
)
def test_a_bad_resize_is_answered(
    data: dict[str, str], message: str, client: Client, operator: User, account: Account
) -> None:
    """422 and no operation."""
    make_pool(account, batch_id="p")
    client.force_login(operator)
    response = client.post("/zoobot/pools/p/resize/", data)
    assert response.status_code == 422
    assert message in response.content.decode()
    assert not Operation.objects.exists()


def test_autoscale_can_be_set_and_switched_off(client: Client, operator: User, account: Account) -> None:
    """A resize meanwhile is refused with the reason."""
    pool = make_pool(
        account, batch_id="p", enable_auto_scale=True, auto_scale_formula="$TargetDedicatedNodes=1;"
    )
    client.force_login(operator)
    data = {"dedicated": "3", "low_priority": "0", "deallocation": "requeue"}
    refused = client.post("/zoobot/pools/p/resize/", data)
    assert refused.status_code == 422
    assert "disable autoscale first" in refused.content.decode()
    assert client.post("/zoobot/pools/p/fix/", {}).status_code == 302
    formula = {"formula": "$TargetDedicatedNodes=2;", "minutes": "5"}
    response = client.post("/zoobot/pools/p/autoscale/", formula)
    assert response.status_code == 302, response.context["form"].errors
    assert client.post("/zoobot/pools/p/autoscale/", {"formula": "", "minutes": "1"}).status_code == 422
    pool.refresh_from_db()
    assert pool.formula == "$TargetDedicatedNodes=2;"


def test_a_pool_is_deleted_only_by_its_typed_name(client: Client, operator: User, account: Account) -> None:
    """The server checks it, whatever the button did."""
    make_job(account, pool=make_pool(account, batch_id="p"), tasks_running=2)
    client.force_login(operator)
    page = client.get("/zoobot/pools/p/delete/").content.decode()
    assert "2 running tasks stop" in page
    assert client.post("/zoobot/pools/p/delete/", {"name": "q"}).status_code == 422
    assert not Operation.objects.exists()
    assert client.post("/zoobot/pools/p/delete/", {"name": "p"}).status_code == 302
    assert Operation.objects.get().verb == "delete"
    again = client.post("/zoobot/pools/p/delete/", {"name": "p"})
    assert again.status_code == 422
    assert "deleted already or about to be" in again.content.decode()


def test_a_node_is_rebooted(client: Client, operator: User, account: Account) -> None:
    """By an operation of its pool."""
    node = make_node(make_pool(account, batch_id="p"))
    client.force_login(operator)
    address = f"/zoobot/pools/p/nodes/{node.batch_id}/reboot/"
    assert client.get(address).status_code == 200
    assert client.post(address, {"reason": "stuck"}).status_code == 302
    assert Operation.objects.get().argument("node") == node.batch_id


@pytest.mark.parametrize("name", ["mounts", "registry", "repository"])
def test_absurd_numbers_are_ignored(
    client: Client, operator: User, account: Account, given: dict[str, Any], name: str
) -> None:
    """No page fails on them."""
    client.force_login(operator)
    response = client.post("/zoobot/pools/new/summary/", {**given, name: "9" * 5000}, headers=PART)
    assert response.status_code == 200
