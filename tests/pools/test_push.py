"""Operations on pools carried out against the local Azure: once, whatever is interrupted, and never on a stranger's."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from azure.batch import BatchClient, models
from django.utils import timezone

from activity import ledger
from activity.models import Account, Operation
from cloud.types import OPERATION_KEY
from pools import operations, push, sync
from pools.models import Node, Pool
from tests.emulator.batch import connect, fresh, machine, make_job, make_pool, make_task, wait
from tests.make import gpu_size, make_vm_image
from tests.stops import crash_at
from tests.worker import InlineWorker

pytestmark = pytest.mark.django_db
State = Operation.State


@pytest.fixture
def client(emulator: dict[str, Any]) -> Iterator[BatchClient]:
    """Return Microsoft's client, with which somebody else changes the account."""
    with connect(emulator) as found:
        yield found


def ask(account: Account, **overrides: Any) -> Pool:
    """Ask for a small pool."""
    values = {"batch_id": fresh("pool"), "vm_image": account.vm_images.first() or make_vm_image(account)}
    pool = Pool(account=account, size=gpu_size(), **values | overrides)
    operations.create_pool(pool, actor=None)
    return pool


def look(account: Account) -> None:
    """Read the account's pools back."""
    sync.keep_targets(account, now=timezone.now())
    InlineWorker().pull("pools")


def listed(client: BatchClient, pool: Pool) -> list[Any]:
    """Return what the local Azure has under a pool's id, whatever the case."""
    return [seen for seen in client.list_pools() if seen.id.lower() == pool.batch_id.lower()]


def mark(seen: Any) -> str | None:
    """Return the mark of the operation that made something."""
    return next((item.value for item in seen.metadata or () if item.name == OPERATION_KEY), None)


def latest() -> Operation:
    """Return the operation that was asked for last."""
    return Operation.objects.latest("pk")


def settle_all(worker: InlineWorker) -> None:
    """Let a worker carry out what waits, pauses skipped, until nothing is left."""

    def is_done() -> bool:
        worker.skip_pauses()
        worker.run_operations()
        return not Operation.objects.unsettled().exists()

    wait(is_done)


def test_a_pool_is_created_as_it_was_asked_for(
    live: Account, client: BatchClient, worker: InlineWorker
) -> None:
    pool = ask(
        live,
        title="Round 7",
        slots=2,
        fill_type="pack",
        tags={"team": "zoo"},
        start_command="/bin/sh -c true",
        start_retries=1,
    )
    assert worker.run_operations() == 1
    (seen,) = listed(client, pool)
    assert (seen.display_name, seen.vm_size.lower()) == ("Round 7", "standard_nc4as_t4_v3")
    assert (seen.task_slots_per_node, seen.task_scheduling_policy.node_fill_type) == (2, "pack")
    assert {item.name: item.value for item in seen.metadata}["team"] == "zoo"
    assert seen.start_task.command_line == "/bin/sh -c true"
    assert mark(seen) == latest().mark
    pool.refresh_from_db()
    assert pool.confirmed_at is not None
    assert (latest().state, latest().result) == (State.SUCCEEDED, {"was_there": False})
    assert pool.badge.word == "Creating"
    look(live)
    pool.refresh_from_db()
    assert (pool.is_ours, pool.state, pool.task_slots_per_node) == (True, "active", 2)


@pytest.mark.parametrize(
    "step", ["ledger.claimed", "pool.create.ready", "pool.create.done", "ledger.carried_out"]
)
def test_a_creation_interrupted_at_any_step_makes_one_pool(
    live: Account, client: BatchClient, worker: InlineWorker, step: str
) -> None:
    pool = ask(live)
    crash_at(worker, step)
    assert worker.run_operations() == 1
    (seen,) = listed(client, pool)
    assert mark(seen) == latest().mark
    assert (latest().state, latest().attempts) == (State.SUCCEEDED, 2)
    assert latest().result == {"was_there": step in ("pool.create.done", "ledger.carried_out")}
    look(live)
    assert Pool.objects.alive().get(batch_id=pool.batch_id).pk == pool.pk


def test_somebody_elses_pool_under_the_same_id_fails_clearly(
    live: Account, client: BatchClient, worker: InlineWorker
) -> None:
    theirs = make_pool(client, nodes=0, waits=False)
    pool = ask(live, batch_id=theirs.upper())
    worker.run_operations()
    operation = latest()
    assert (operation.state, operation.error_code, operation.attempts) == (State.FAILED, "PoolExists", 1)
    assert "made elsewhere" in operation.error
    assert mark(client.get_pool(theirs)) is None
    pool.refresh_from_db()
    assert (pool.is_deleted, pool.badge.word) == (True, "Not created")
    look(live)
    found = Pool.objects.alive().get(batch_id=theirs)
    assert not found.is_ours


VERBS: dict[str, Callable[[Pool], object]] = {
    "resize": lambda pool: operations.resize_pool(pool, dedicated=1, low_priority=0, actor=None),
    "stop_resize": lambda pool: operations.stop_resize(pool, actor=None),
    "set_autoscale": lambda pool: operations.set_autoscale(
        pool, formula="$TargetDedicatedNodes = 1;", actor=None
    ),
    "disable_autoscale": lambda pool: operations.disable_autoscale(pool, actor=None),
    "delete": lambda pool: operations.delete_pool(pool, actor=None),
}


@pytest.mark.parametrize("verb", VERBS)
def test_what_was_asked_of_a_pool_never_happens_to_a_strangers_of_the_same_id(
    live: Account, client: BatchClient, worker: InlineWorker, verb: str
) -> None:
    """Asked for before it turned out that the id belongs to somebody else."""
    theirs = make_pool(client, nodes=0, waits=False)
    wait(lambda: client.get_pool(theirs).allocation_state == "steady")
    before = client.get_pool(theirs).as_dict()
    VERBS[verb](ask(live, batch_id=theirs))
    settle_all(worker)
    assert client.get_pool(theirs).as_dict() == before
    if verb == "delete":
        assert (latest().state, latest().result) == (State.SUCCEEDED, {"was_there": False})
    else:
        assert (latest().state, latest().error_code) == (State.FAILED, "PoolNotFound")


def test_a_pool_that_was_made_anew_elsewhere_is_not_deleted_for_the_old_one(
    live: Account, client: BatchClient, worker: InlineWorker
) -> None:
    pool = ask(live)
    worker.run_operations()
    look(live)
    pool.refresh_from_db()
    client.begin_delete_pool(pool.batch_id)
    wait(lambda: not listed(client, pool))
    client.create_pool(same(pool))
    operations.delete_pool(pool, actor=None)
    worker.run_operations()
    assert latest().result == {"was_there": False}
    assert listed(client, pool)[0].state == "active"
    look(live)
    assert not Pool.objects.alive().get(batch_id=pool.batch_id).is_ours


def same(pool: Pool) -> models.BatchPoolCreateOptions:
    """Return what somebody else would send for a pool of the same id."""
    return models.BatchPoolCreateOptions(
        id=pool.batch_id, vm_size="standard_nc4as_t4_v3", virtual_machine_configuration=machine()
    )


@pytest.mark.parametrize("step", ["pool.delete.ready", "pool.delete.done", "ledger.carried_out"])
def test_a_deletion_interrupted_at_any_step_is_done(
    live: Account, client: BatchClient, worker: InlineWorker, step: str
) -> None:
    pool = ask(live)
    worker.run_operations()
    look(live)
    pool.refresh_from_db()
    operations.delete_pool(pool, actor=None)
    crash_at(worker, step)
    settle_all(worker)
    assert latest().state == State.SUCCEEDED
    wait(lambda: not listed(client, pool))
    look(live)
    pool.refresh_from_db()
    assert pool.badge.word == "Deleted"


def test_deleting_what_is_gone_already_succeeds(
    live: Account, client: BatchClient, worker: InlineWorker
) -> None:
    pool = ask(live)
    worker.run_operations()
    client.begin_delete_pool(pool.batch_id)
    wait(lambda: not listed(client, pool))
    operations.delete_pool(pool, actor=None)
    worker.run_operations()
    assert (latest().state, latest().result) == (State.SUCCEEDED, {"was_there": False})
    pool.refresh_from_db()
    assert pool.is_deleted, "it was never seen, so no listing will notice"


def test_a_pool_made_elsewhere_is_deleted_too(
    live: Account, client: BatchClient, worker: InlineWorker
) -> None:
    theirs = make_pool(client, nodes=0, waits=False)
    look(live)
    operations.delete_pool(Pool.objects.get(batch_id=theirs), actor=None)
    worker.run_operations()
    assert latest().result == {"was_there": True}
    wait(lambda: not any(seen.id == theirs for seen in client.list_pools()))


def test_a_pool_grows_shrinks_and_its_nodes_are_seen(
    live: Account, client: BatchClient, worker: InlineWorker
) -> None:
    pool = ask(live, dedicated_nodes=1)
    worker.run_operations()
    operations.resize_pool(pool, dedicated=2, low_priority=1, actor=None)
    settle_all(worker)
    assert latest().state == State.SUCCEEDED
    wait(lambda: [node.state for node in client.list_nodes(pool.batch_id)] == ["idle"] * 3)
    look(live)
    worker.pull("nodes", pool.batch_id)
    pool.refresh_from_db()
    assert (pool.node_counts, pool.current_dedicated_nodes, pool.current_low_priority_nodes) == (
        {"idle": 3},
        2,
        1,
    )
    operations.resize_pool(pool, dedicated=0, low_priority=0, actor=None)
    settle_all(worker)
    wait(lambda: not list(client.list_nodes(pool.batch_id)))
    worker.pull("nodes", pool.batch_id)
    assert not Node.objects.alive().filter(pool=pool).exists()


def test_a_resize_waits_for_the_one_before_it(
    live: Account, client: BatchClient, worker: InlineWorker
) -> None:
    pool = ask(live, dedicated_nodes=1)
    worker.run_operations()
    wait(lambda: [node.state for node in client.list_nodes(pool.batch_id)] == ["idle"])
    job = make_job(client, pool.batch_id)
    task = make_task(client, job, "sleep 3")
    wait(lambda: client.get_task(job, task).state == "running")
    # It lasts as long as the task does.
    operations.resize_pool(pool, dedicated=0, low_priority=0, deallocation="taskcompletion", actor=None)
    settle_all(worker)
    operations.resize_pool(pool, dedicated=1, low_priority=0, actor=None)
    worker.run_operations()
    assert (latest().state, latest().error_code) == (State.PENDING, "Postponed")
    settle_all(worker)
    assert (latest().state, latest().attempts > 1) == (State.SUCCEEDED, True)


@pytest.mark.parametrize("step", ["pool.resize.ready", "pool.resize.done"])
def test_a_resize_interrupted_at_any_step_is_done(
    live: Account, client: BatchClient, worker: InlineWorker, step: str
) -> None:
    pool = ask(live)
    settle_all(worker)
    wait(lambda: client.get_pool(pool.batch_id).allocation_state == "steady")
    operations.resize_pool(pool, dedicated=1, low_priority=0, actor=None)
    crash_at(worker, step)
    settle_all(worker)
    assert latest().state == State.SUCCEEDED
    wait(lambda: len(list(client.list_nodes(pool.batch_id))) == 1)


def test_a_node_is_restarted_and_a_missing_one_fails_clearly(
    live: Account, client: BatchClient, worker: InlineWorker
) -> None:
    pool = ask(live, dedicated_nodes=1)
    worker.run_operations()
    wait(lambda: [node.state for node in client.list_nodes(pool.batch_id)] == ["idle"])
    look(live)
    worker.pull("nodes", pool.batch_id)
    node = pool.nodes.get()
    operations.reboot_node(node, actor=None)
    worker.run_operations()
    assert latest().state == State.SUCCEEDED
    wait(lambda: [node.state for node in client.list_nodes(pool.batch_id)] == ["idle"])
    Node.objects.update(batch_id="tvmps_missing")
    operations.reimage_node(pool.nodes.get(), actor=None)
    worker.run_operations()
    assert (latest().state, latest().error_code) == (State.FAILED, "NodeNotFound")


def test_a_formula_sizes_a_pool_until_it_is_disabled(
    live: Account, client: BatchClient, worker: InlineWorker
) -> None:
    pool = ask(live)
    settle_all(worker)
    operations.set_autoscale(pool, formula="$TargetDedicatedNodes = 0;", minutes=10, actor=None)
    settle_all(worker)
    assert latest().state == State.SUCCEEDED
    seen = client.get_pool(pool.batch_id)
    assert (seen.enable_auto_scale, seen.auto_scale_formula) == (True, "$TargetDedicatedNodes = 0;")
    operations.disable_autoscale(pool, actor=None)
    settle_all(worker)
    assert latest().state == State.SUCCEEDED
    assert not client.get_pool(pool.batch_id).enable_auto_scale


def test_what_azure_refuses_for_good_fails_and_says_why(live: Account, worker: InlineWorker) -> None:
    """Its limits may become narrower than ours: here a number that we would not have taken either."""
    pool = ask(live)
    Pool.objects.filter(pk=pool.pk).update(slots=257)
    settle_all(worker)
    assert (latest().state, latest().attempts) == (State.FAILED, 1)
    assert latest().error
    pool.refresh_from_db()
    assert (pool.problem, pool.badge.word) == (latest().error, "Not created")
    operations.delete_pool(pool, actor=None)
    settle_all(worker)
    pool.refresh_from_db()
    assert pool.is_deleted


def test_a_creation_cancelled_before_it_began_leaves_nothing(
    live: Account, client: BatchClient, worker: InlineWorker
) -> None:
    pool = ask(live)
    now = timezone.now()
    ledger.cancel(latest(), actor=None, now=now)
    Pool.objects.update(created_at=now - timedelta(minutes=2))
    assert push.mend(now=now) == 1
    assert push.mend(now=now) == 0
    settle_all(worker)
    assert (latest().verb, latest().state, latest().result) == (
        "discard",
        State.SUCCEEDED,
        {"was_there": False},
    )
    pool.refresh_from_db()
    assert pool.is_deleted
    assert not listed(client, pool)


def test_a_creation_cancelled_after_its_answer_was_lost_is_cleared_away(
    live: Account, client: BatchClient, worker: InlineWorker
) -> None:
    pool = ask(live)
    crash_at(worker, "pool.create.done")
    ledger.cancel(latest(), actor=None, now=timezone.now())
    settle_all(worker)
    assert Operation.objects.get(verb="create").state == State.CANCELLED
    assert (latest().verb, latest().result) == ("discard", {"was_there": True})
    wait(lambda: not listed(client, pool))
    look(live)
    pool.refresh_from_db()
    assert pool.is_deleted


def test_secrets_are_in_no_operation(live: Account, emulator: dict[str, Any], worker: InlineWorker) -> None:
    ask(live)
    worker.run_operations()
    assert emulator["batch"]["key"] not in str(list(Operation.objects.values()))


def test_a_formula_that_looks_like_a_secret_arrives_as_it_was_typed(
    live: Account, client: BatchClient, worker: InlineWorker
) -> None:
    pool = ask(live)
    settle_all(worker)
    formula = "$secretTokens=0; $TargetDedicatedNodes=$secretTokens;"
    operations.set_autoscale(pool, formula=formula, minutes=7, actor=None)
    settle_all(worker)
    assert latest().state == State.SUCCEEDED
    found = client.get_pool(pool.batch_id)
    assert (found.auto_scale_formula, found.auto_scale_evaluation_interval) == (formula, timedelta(minutes=7))
