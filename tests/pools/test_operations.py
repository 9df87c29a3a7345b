"""Asking for pools: what is written down, who may ask, and what is wrong said at the field to mend."""

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import connection
from django.db.models.signals import post_save, pre_save
from django.utils import timezone

from activity import revisions
from activity.models import Account, Operation, SyncTarget
from activity.refusals import Refused
from pools import operations, sync
from pools.models import Node, Pool, PoolRevision, StorageMount
from tests.make import (
    cpu_size,
    gpu_size,
    make_image,
    make_node,
    make_pool,
    make_registry,
    make_storage,
    make_vm_image,
)

pytestmark = pytest.mark.django_db
Ask = Callable[[Pool, User | None], object]

VERBS: dict[str, Ask] = {
    "resize": lambda pool, actor: operations.resize_pool(pool, dedicated=2, low_priority=1, actor=actor),
    "stop_resize": lambda pool, actor: operations.stop_resize(pool, actor=actor),
    "set_autoscale": lambda pool, actor: operations.set_autoscale(
        pool, formula="$TargetDedicatedNodes = 1;", minutes=10, actor=actor
    ),
    "disable_autoscale": lambda pool, actor: operations.disable_autoscale(pool, actor=actor),
    "delete": lambda pool, actor: operations.delete_pool(pool, actor=actor),
    "reboot_node": lambda pool, actor: operations.reboot_node(pool.nodes.get(), actor=actor),
    "reimage_node": lambda pool, actor: operations.reimage_node(pool.nodes.get(), actor=actor),
}
"""Every verb about a pool that is there."""

REVISED = ("resize", "set_autoscale", "disable_autoscale")
"""Verbs that change what is asked of a pool."""


def new_pool(account: Account, **overrides: Any) -> Pool:
    """Make an unsaved pool that may be asked for."""
    values = {"batch_id": "gpu_1", "dedicated_nodes": 1}
    if "size" not in overrides:
        values["size"] = gpu_size()
    if "vm_image" not in overrides:
        values["vm_image"] = account.vm_images.first() or make_vm_image(account)
    return Pool(account=account, **values | overrides)


def living_pool(account: Account, **overrides: Any) -> Pool:
    """Make a pool with a node."""
    pool = make_pool(account, size=gpu_size(), **overrides)
    make_node(pool)
    return pool


def problems_of(pool: Pool, *mounts: StorageMount) -> dict[str, list[str]]:
    """Ask for a pool that is not to be had, and return the messages at its fields."""
    with pytest.raises(ValidationError) as wrong:
        operations.create_pool(pool, mounts=mounts, actor=None)
    assert not Operation.objects.exists()
    return wrong.value.message_dict


def observe_only(account: Account) -> Account:
    """Let nothing in the account be changed."""
    account.mode = Account.Mode.OBSERVE
    account.save()
    return account


def test_a_pool_is_asked_for_with_its_operation_mounts_and_revision(account: Account, operator: User) -> None:
    storage, image = make_storage(account), make_image(account)
    mount = StorageMount(storage=storage, container_name="training", relative_mount_path="training")
    pool = new_pool(account, container_image=image.reference, tags={"team": "zoo"})
    before = revisions.tag(account, "pools", "pool:gpu_1", "operations")
    asked = operations.create_pool(pool, mounts=[mount], actor=operator, reason="a demo")

    pool = Pool.objects.get()
    assert (pool.batch_id, pool.is_ours, pool.created_by, pool.revision) == ("gpu_1", True, operator, 1)
    assert (pool.image, pool.image_digest) == (image, image.digest), "pinned to what the tag points at now"
    assert pool.is_pending
    assert list(pool.mounts.values_list("container_name", flat=True)) == ["training"]
    operation = Operation.objects.get()
    assert operation == asked
    assert pool.operation == operation.uuid
    assert (operation.verb, operation.kind, operation.subject) == ("create", "pool", "gpu_1")
    assert (operation.actor, operation.reason) == (operator, "a demo")
    assert operation.payload == {"pool": pool.pk}
    revision = PoolRevision.objects.get()
    assert (revision.pool, revision.number, revision.made_by) == (pool, 1, operator)
    assert revision.content["dedicated_nodes"] == 1
    assert revision.content["size"] == "Standard_NC4as_T4_v3"
    assert revision.content["image_digest"] == image.digest
    assert revision.content["mounts"][0]["relative_mount_path"] == "training"
    assert revisions.tag(account, "pools", "pool:gpu_1", "operations") != before


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_is_one_operation_and_a_change_is_a_revision(
    account: Account, operator: User, verb: str
) -> None:
    pool = living_pool(account, is_autoscaled=verb == "disable_autoscale", formula="$a = 1;")
    VERBS[verb](pool, operator)
    operation = Operation.objects.get()
    assert (operation.verb, operation.subject, operation.actor) == (verb, pool.batch_id, operator)
    assert operation.argument("pool") == pool.pk
    assert list(PoolRevision.objects.values_list("number", flat=True)) == [1] * (verb in REVISED)
    assert revisions.tag(account, f"pool:{pool.batch_id}") != "0"


def test_what_a_resize_asks_for_is_kept(account: Account, operator: User) -> None:
    pool = living_pool(account)
    operations.resize_pool(
        pool, dedicated=3, low_priority=2, deallocation="taskcompletion", actor=operator, reason="more"
    )
    pool.refresh_from_db()
    assert (pool.dedicated_nodes, pool.low_priority_nodes, pool.revision) == (3, 2, 1)
    assert Operation.objects.get().payload == {
        "pool": pool.pk,
        "dedicated": 3,
        "low_priority": 2,
        "deallocation": "taskcompletion",
    }
    revision = PoolRevision.objects.get()
    assert (revision.content["dedicated_nodes"], revision.reason) == (3, "more")


def test_what_autoscale_asks_for_is_kept(account: Account, operator: User) -> None:
    pool = living_pool(account)
    operations.set_autoscale(pool, formula="$TargetDedicatedNodes = 1;", minutes=10, actor=operator)
    pool.refresh_from_db()
    assert (pool.is_autoscaled, pool.evaluation_minutes) == (True, 10)
    operations.disable_autoscale(pool, actor=operator)
    pool.refresh_from_db()
    assert (pool.is_autoscaled, pool.revision) == (False, 2)
    assert pool.formula == "$TargetDedicatedNodes = 1;", "kept for the next time"


def test_a_deletion_shows_at_once_and_is_asked_for_once(account: Account, operator: User) -> None:
    pool = living_pool(account)
    operations.delete_pool(pool, actor=operator)
    pool.refresh_from_db()
    assert pool.deletion_asked_at is not None
    assert pool.badge.word == "Deleting"
    for ask in VERBS.values():
        with pytest.raises(Refused, match="deleted already or about to be") as refused:
            ask(pool, operator)
        assert refused.value.code == "deleted"
    assert Operation.objects.count() == 1


def test_a_node_that_is_gone_is_not_restarted(account: Account, operator: User) -> None:
    node = make_node(make_pool(account), deleted_at=timezone.now())
    with pytest.raises(Refused, match="is gone"):
        operations.reboot_node(node, actor=operator)
    assert not Operation.objects.exists()


@pytest.mark.parametrize("verb", ["create", *VERBS])
@pytest.mark.parametrize("role", ["outsider", "viewer", "submitter"])
def test_only_operators_change_pools(
    account: Account, role: str, verb: str, request: pytest.FixtureRequest
) -> None:
    actor = request.getfixturevalue(role)
    pool = living_pool(account) if verb in VERBS else new_pool(account)
    with pytest.raises(Refused, match="needs the role operator") as refused:
        VERBS[verb](pool, actor) if verb in VERBS else operations.create_pool(pool, actor=actor)
    assert refused.value.code == "role"
    assert not Operation.objects.exists()
    assert not PoolRevision.objects.exists()
    assert Pool.objects.filter(deletion_asked_at=None).count() == (verb in VERBS)


@pytest.mark.parametrize("verb", ["create", *VERBS])
@pytest.mark.parametrize("role", ["operator", "admin"])
def test_operators_and_admins_do(
    account: Account, role: str, verb: str, request: pytest.FixtureRequest
) -> None:
    actor = request.getfixturevalue(role)
    if verb in VERBS:
        VERBS[verb](living_pool(account), actor)
    else:
        operations.create_pool(new_pool(account), actor=actor)
    assert Operation.objects.get().actor == actor


@pytest.mark.parametrize("verb", ["create", *VERBS])
def test_an_observed_account_refuses_every_verb_with_that_reason(
    account: Account, admin: User, verb: str
) -> None:
    pool = living_pool(account) if verb in VERBS else new_pool(account)
    pool.account = observe_only(account)
    with pytest.raises(Refused, match="observe only") as refused:
        VERBS[verb](pool, admin) if verb in VERBS else operations.create_pool(pool, actor=admin)
    assert refused.value.code == "observe_only"
    assert not Operation.objects.exists()
    assert not PoolRevision.objects.exists()
    assert Pool.objects.filter(deletion_asked_at=None).count() == (verb in VERBS)


@pytest.mark.parametrize(
    ("batch_id", "said"),
    [
        ("g" * 65, "at most 64"),
        ("gpu 1", "no spaces"),
        ("gpu.1", "no spaces"),
        ("gpu/1", "no spaces"),
        ("gpu:1", "no spaces"),
        ("gpu_1\n", "no spaces"),
        ("pöol", "no spaces"),
        ("", "cannot be blank"),
    ],
)
def test_an_id_that_azure_would_refuse_is_said_at_the_id(account: Account, batch_id: str, said: str) -> None:
    assert said in problems_of(new_pool(account, batch_id=batch_id))["batch_id"][0]
    assert not Pool.objects.exists()


def test_an_id_of_64_characters_is_taken(account: Account) -> None:
    operations.create_pool(new_pool(account, batch_id="g" * 64), actor=None)
    assert Pool.objects.get().batch_id == "g" * 64


@pytest.mark.parametrize(("is_ours", "where"), [(True, "here"), (False, "made elsewhere")])
def test_an_id_that_is_taken_says_where_whatever_its_case(
    account: Account, is_ours: bool, where: str
) -> None:
    make_pool(account, batch_id="GPU_1", is_ours=is_ours)
    assert where in problems_of(new_pool(account))["batch_id"][0]
    assert Pool.objects.count() == 1


def test_the_id_of_a_deleted_pool_or_of_another_account_is_free(account: Account) -> None:
    make_pool(account, batch_id="gpu_1", deleted_at=timezone.now())
    other = Account.objects.create(slug="other", batch_account="other", batch_endpoint="https://127.0.0.1:9")
    make_pool(other, batch_id="gpu_1")
    operations.create_pool(new_pool(account), actor=None)
    assert Pool.objects.alive().filter(account=account).count() == 1


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("other.azurecr.io/pytorch:1", "no registry other.azurecr.io"),
        ("zoo.azurecr.io/tensorflow:1", "no repository tensorflow"),
        ("zoo.azurecr.io/pytorch:2", "no tag 2"),
        ("zoo.azurecr.io/pytorch@sha256:" + "f" * 64, "no digest sha256:ffff"),
        ("pytorch:1", "Begin with the registry"),
        ("zoo.azurecr.io/PyTorch:1", "not a repository's name"),
        ("zoo.azurecr.io/pytorch:1 2", "not a tag's name"),
    ],
)
def test_an_unknown_image_is_said_at_the_image(account: Account, name: str, said: str) -> None:
    make_registry(account, login_server="zoo.azurecr.io")
    make_image(account, tag="1")
    assert said in problems_of(new_pool(account, container_image=name))["container_image"][0]


def test_an_image_that_nodes_could_not_pull_is_said_at_the_image(account: Account) -> None:
    registry = make_registry(account)
    image = make_image(account)
    registry.credential = None
    registry.save()
    said = problems_of(new_pool(account, container_image=image.reference))
    assert "no user and password" in said["container_image"][0]


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("dedicated_nodes", {"dedicated_nodes": -1}),
        ("low_priority_nodes", {"low_priority_nodes": -1}),
        ("dedicated_nodes", {"dedicated_nodes": 100_001}),
        ("slots", {"slots": 0}),
        ("slots", {"slots": 257}),
        ("resize_minutes", {"resize_minutes": 4}),
        ("evaluation_minutes", {"evaluation_minutes": 4}),
        ("formula", {"is_autoscaled": True, "formula": " "}),
        ("fill_type", {"fill_type": "heap"}),
        ("tags", {"tags": {"nodes": 3}}),
        ("size", {"size": None}),
        ("vm_image", {"vm_image": None}),
    ],
)
def test_a_value_out_of_bounds_is_said_at_its_field(
    account: Account, field: str, values: dict[str, Any]
) -> None:
    assert list(problems_of(new_pool(account, **values))) == [field]
    assert not Pool.objects.exists()


def test_everything_wrong_is_said_at_once(account: Account) -> None:
    pool = new_pool(account, batch_id="a b", dedicated_nodes=-1, size=None, container_image="x")
    assert set(problems_of(pool)) == {"batch_id", "dedicated_nodes", "size", "container_image"}


def test_wrong_mounts_are_said_at_the_mounts(account: Account) -> None:
    storage = make_storage(account)

    def mount(path: str, container: str = "training") -> StorageMount:
        return StorageMount(storage=storage, container_name=container, relative_mount_path=path)

    twice = problems_of(new_pool(account), mount("data"), mount("data"))
    assert twice["mounts"] == ["Two mounts have the path data."]
    assert "10 mounts" in problems_of(new_pool(account), *[mount(f"m{n}") for n in range(11)])["mounts"][0]
    assert "without slashes" in problems_of(new_pool(account), mount("../etc"))["mounts"][0]
    assert "lower-case" in problems_of(new_pool(account), mount("data", "Training"))["mounts"][0]
    storage.credential = None
    assert "no account key" in problems_of(new_pool(account), mount("data"))["mounts"][0]


@pytest.mark.parametrize("nodes", [-1, 100_001])
def test_a_resize_out_of_bounds_changes_nothing(account: Account, operator: User, nodes: int) -> None:
    pool = living_pool(account)
    with pytest.raises(ValidationError) as wrong:
        operations.resize_pool(pool, dedicated=nodes, low_priority=0, actor=operator)
    assert list(wrong.value.message_dict) == ["dedicated_nodes"]
    with pytest.raises(ValidationError) as wrong:
        operations.resize_pool(pool, dedicated=0, low_priority=0, deallocation="maybe", actor=operator)
    assert list(wrong.value.message_dict) == ["deallocation"]
    pool.refresh_from_db()
    assert (pool.dedicated_nodes, pool.revision) == (0, 0)
    assert not Operation.objects.exists()


def test_a_pool_sized_by_a_formula_is_not_resized(account: Account, operator: User) -> None:
    shown = living_pool(account, enable_auto_scale=True)
    asked = make_pool(account, synced_hash="", is_autoscaled=True, formula="$a = 1;")
    for pool in (shown, asked):
        with pytest.raises(Refused, match="disable autoscale first") as refused:
            operations.resize_pool(pool, dedicated=1, low_priority=0, actor=operator)
        assert refused.value.code == "autoscale"
    assert not Operation.objects.exists()


@pytest.mark.parametrize(
    ("formula", "minutes", "field"),
    [("", 5, "formula"), ("$a = 1;", 4, "evaluation_minutes"), ("$a = 1;", 10_081, "evaluation_minutes")],
)
def test_a_formula_is_needed_and_its_interval_has_bounds(
    account: Account, operator: User, formula: str, minutes: int, field: str
) -> None:
    with pytest.raises(ValidationError) as wrong:
        operations.set_autoscale(living_pool(account), formula=formula, minutes=minutes, actor=operator)
    assert list(wrong.value.message_dict) == [field]


def test_a_node_option_that_azure_does_not_know_is_said_at_the_option(
    account: Account, operator: User
) -> None:
    with pytest.raises(ValidationError) as wrong:
        operations.reimage_node(make_node(make_pool(account)), option="perhaps", actor=operator)
    assert list(wrong.value.message_dict) == ["option"]


def test_a_size_without_a_gpu_for_an_image_that_needs_one_is_only_warned_of(account: Account) -> None:
    image = make_image(account, cuda_version="12.4")
    pool = new_pool(account, size=cpu_size(), container_image=image.reference)
    operations.check_pool(pool)
    assert any("has no GPU" in said for said in operations.warnings(pool))
    operations.create_pool(pool, actor=None)
    assert Pool.objects.get().size == cpu_size()


def test_a_good_match_is_not_warned_of_and_what_ends_is(account: Account) -> None:
    now = timezone.now()
    image = make_image(account, cuda_version="12.4")
    pool = new_pool(account, container_image=image.reference)
    operations.check_pool(pool)
    pool.size.retirement_date = None
    assert operations.warnings(pool, now=now) == []
    pool.vm_image.batch_support_end_of_life = now - timedelta(days=1)
    pool.size.retirement_date = now.date() + timedelta(days=9)
    said = " ".join(operations.warnings(pool, now=now))
    assert "has ended its support" in said
    assert "will retire" in said


class Interrupted(Exception):
    """Stands for a database that goes away at the worst moment."""


@pytest.fixture
def interruption() -> Any:
    """Interrupt whoever has just written an operation."""

    def interrupt(**_: Any) -> None:
        raise Interrupted

    post_save.connect(interrupt, sender=Operation)
    yield
    post_save.disconnect(interrupt, sender=Operation)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("verb", ["create", *VERBS])
def test_what_is_interrupted_leaves_nothing(
    account: Account, operator: User, verb: str, interruption: None
) -> None:
    pool = living_pool(account) if verb in VERBS else new_pool(account)
    before = list(Pool.objects.values())
    with pytest.raises(Interrupted):
        VERBS[verb](pool, operator) if verb in VERBS else operations.create_pool(pool, actor=operator)
    assert not Operation.objects.exists()
    assert not PoolRevision.objects.exists()
    assert list(Pool.objects.values()) == before


@pytest.mark.django_db(transaction=True)
def test_of_many_who_ask_for_one_id_exactly_one_gets_it(account: Account) -> None:
    size, vm_image = gpu_size(), make_vm_image(account)
    barrier = threading.Barrier(4)
    said: list[str] = []

    def ask() -> None:
        try:
            pool = new_pool(account, size=size, vm_image=vm_image)
            barrier.wait()
            operations.create_pool(pool, actor=None)
            said.append("yes")
        except ValidationError as error:
            said.append(next(iter(error.message_dict)))
        finally:
            connection.close()

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(said) == ["batch_id", "batch_id", "batch_id", "yes"]
    assert (Pool.objects.count(), Operation.objects.count(), PoolRevision.objects.count()) == (1, 1, 1)


def test_a_pool_that_comes_between_check_and_write_is_said_at_the_id(account: Account) -> None:
    """The database has the last word: the other one appears after everything was checked."""

    def appear(**_: Any) -> None:
        now = timezone.now()
        Pool.objects.bulk_create([new_pool(account, batch_id="GPU_1", created_at=now)])

    pool = new_pool(account)
    pre_save.connect(appear, sender=Pool)
    try:
        with pytest.raises(ValidationError) as wrong:
            operations.create_pool(pool, actor=None)
    finally:
        pre_save.disconnect(appear, sender=Pool)
    assert "a moment ago" in wrong.value.message_dict["batch_id"][0]
    assert not Operation.objects.exists()
    assert not PoolRevision.objects.exists()


def test_viewers_may_have_things_read_at_once(account: Account, viewer: User, outsider: User) -> None:
    pool, registry, now = make_pool(account, batch_id="gpu_1"), make_registry(account), timezone.now()
    sync.keep_targets(account, now=now)
    SyncTarget.objects.update(next_due_at=now + timedelta(hours=1))
    with pytest.raises(Refused):
        operations.refresh_pools(account, actor=outsider)
    operations.refresh_pools(account, actor=viewer, now=now)
    operations.refresh_nodes(pool, actor=viewer, now=now)
    operations.refresh_registry(registry, actor=viewer, now=now)
    due = SyncTarget.objects.filter(hurried_at=now).values_list("kind", flat=True)
    assert sorted(due) == ["nodes", "pools", "registry", "vm_images"]
    assert not Operation.objects.exists()
    assert not Node.objects.exists()
