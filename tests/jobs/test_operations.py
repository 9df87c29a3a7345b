"""Asking for jobs: what is written down, who may ask, and what is wrong said at the field to mend."""

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import connection
from django.db.models.signals import post_save, pre_save
from django.utils import timezone

from activity import revisions
from activity.models import Account, Operation, SyncTarget
from activity.refusals import Refused
from jobs import definitions, operations, specs, sync
from jobs.models import Job, JobDefinition, JobDefinitionRevision
from jobs.recipes import JobPlan, TaskPlan
from pools.models import Pool
from tests.make import make_finished_job, make_image, make_job, make_pool, make_registry, make_storage

pytestmark = pytest.mark.django_db
MOUNTS = [
    {"relative_mount_path": name, "source": f"zoo/{name}"} for name in ("training", "models", "predictions")
]
VERBS: dict[str, Callable[[Job, User | None], object]] = {
    "terminate": lambda job, actor: operations.terminate_job(job, actor=actor, reason="enough"),
    "delete": lambda job, actor: operations.delete_job(job, actor=actor),
}
"""Every verb about a job that is there."""


@pytest.fixture
def pool(account: Account) -> Pool:
    """Return a pool with everything that jobs may need, its image among it, and install the definitions."""
    operations.install_definitions()
    make_storage(account, name="zoo", is_default=True)
    image = make_image(account)
    return make_pool(
        account,
        batch_id="gpu_1",
        image=image,
        container_image=image.reference,
        image_digest=image.digest,
        mount_configuration=MOUNTS,
    )


def definition(slug: str) -> JobDefinitionRevision | None:
    """Return the current revision of a shipped definition."""
    return JobDefinition.objects.get(slug=slug).current


def new_job(pool: Pool, /, slug: str = "gpu-check", **overrides: Any) -> Job:
    """Make an unsaved job that may be asked for."""
    values = {
        "account": pool.account,
        "batch_id": "job_1",
        "pool": pool,
        "revision": definition(slug),
    }
    return Job(**values | overrides)


def problems_of(job: Job) -> dict[str, list[str]]:
    """Ask for a job that is not to be had, and return the messages at its fields."""
    with pytest.raises(ValidationError) as wrong:
        operations.create_job(job, actor=None)
    assert not Job.objects.exists()
    assert not Operation.objects.exists()
    return wrong.value.message_dict


def test_a_job_is_asked_for_with_its_operation_and_its_whole_plan(pool: Pool, submitter: User) -> None:
    before = revisions.tag(pool.account, "jobs", "job:job_1", "operations")
    job = new_job(pool, parameters={"run_name": "Round 7"}, asked_priority=5)
    asked = operations.create_job(job, actor=submitter, reason="a demo")
    job = Job.objects.get()
    assert (job.is_ours, job.created_by, job.title, job.tasks_asked) == (True, submitter, "Round 7", 1)
    assert job.is_pending
    assert job.badge.word == "Queued"
    plan = JobPlan.from_dict(job.plan or {})
    assert plan.tasks[0].image == pool.image_name
    assert plan.on_all_tasks_complete == "terminatejob"
    operation = Operation.objects.get()
    assert operation == asked
    assert job.operation == operation.uuid
    assert (operation.verb, operation.kind, operation.subject) == ("create", "job", "job_1")
    assert (operation.actor, operation.reason, operation.payload) == (submitter, "a demo", {"job": job.pk})
    assert revisions.tag(pool.account, "jobs", "job:job_1", "operations") != before


def test_an_id_is_made_for_a_job_that_has_none(pool: Pool, submitter: User) -> None:
    job = Job(account=pool.account, pool=pool, revision=definition("gpu-check"))
    operations.create_job(job, actor=submitter)
    assert UUID(Job.objects.get().batch_id).version == 4


def test_a_training_remembers_where_its_results_go(pool: Pool, submitter: User) -> None:
    parameters = {"catalogue": "catalogues/hdf.csv"}
    now = timezone.now()
    job = new_job(pool, "zoobot-training", parameters=parameters)
    operations.create_job(job, actor=submitter, now=now)
    job = Job.objects.get()
    assert job.storage is not None
    assert job.storage.name == "zoo"
    assert job.results_container == "training"
    assert job.batch_id in job.results_path
    assert job.created_at == now
    again = operations.plan_job(Job(**{**values_of(job), "batch_id": "job_2"}), now=now)
    assert again.results_dir == job.results_path.replace("job_1", "job_2"), "the same, but for its id"


def values_of(job: Job) -> dict[str, Any]:
    """Return what was asked for of a job."""
    names = ("account", "pool", "revision", "parameters", "created_at")
    return {name: getattr(job, name) for name in names}


def test_a_jobs_own_image_is_pinned_to_what_its_tag_points_at(pool: Pool, submitter: User) -> None:
    image = make_image(pool.account, tag="2")
    operations.create_job(new_job(pool, container_image=image.reference), actor=submitter)
    job = Job.objects.get()
    assert (job.image, job.image_digest) == (image, image.digest)
    assert JobPlan.from_dict(job.plan or {}).tasks[0].image == image.pinned


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_is_one_operation_and_shows_at_once(account: Account, submitter: User, verb: str) -> None:
    job = make_job(account, created_by=submitter)
    VERBS[verb](job, submitter)
    operation = Operation.objects.get()
    assert (operation.verb, operation.subject, operation.actor) == (verb, job.batch_id, submitter)
    assert operation.argument("job") == job.pk
    job.refresh_from_db()
    assert job.badge.word == {"terminate": "Terminating", "delete": "Deleting"}[verb]
    assert revisions.tag(account, "jobs", f"job:{job.batch_id}") != "0-0"


def test_an_end_is_asked_for_once(account: Account, submitter: User) -> None:
    job = make_job(account, created_by=submitter)
    operations.terminate_job(job, actor=submitter)
    with pytest.raises(Refused, match="ended already or is about to") as refused:
        operations.terminate_job(job, actor=submitter)
    assert refused.value.code == "ended"
    operations.delete_job(job, actor=submitter)
    for ask in VERBS.values():
        with pytest.raises(Refused, match="deleted already or about to be") as refused:
            ask(job, submitter)
        assert refused.value.code == "deleted"
    assert Operation.objects.count() == 2


def test_a_finished_job_is_deleted_but_not_terminated(account: Account, submitter: User) -> None:
    job = make_finished_job(account, created_by=submitter)
    with pytest.raises(Refused, match="ended already"):
        operations.terminate_job(job, actor=submitter)
    operations.delete_job(job, actor=submitter)
    assert Operation.objects.get().verb == "delete"


@pytest.mark.parametrize(
    ("role", "needed"), [("outsider", "submitter"), ("viewer", "submitter"), ("submitter", "")]
)
def test_submitters_submit(pool: Pool, role: str, needed: str, request: pytest.FixtureRequest) -> None:
    actor = request.getfixturevalue(role)
    if needed:
        with pytest.raises(Refused, match=f"needs the role {needed}") as refused:
            operations.create_job(new_job(pool), actor=actor)
        assert refused.value.code == "role"
    else:
        operations.create_job(new_job(pool), actor=actor)
    assert Job.objects.count() == Operation.objects.count() == (not needed)


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(("role", "may"), [("viewer", False), ("submitter", False), ("operator", True)])
def test_only_operators_end_what_others_submitted(
    account: Account, admin: User, role: str, may: bool, verb: str, request: pytest.FixtureRequest
) -> None:
    actor = request.getfixturevalue(role)
    jobs = [make_job(account, created_by=admin), make_job(account, is_ours=False)]
    for job in jobs:
        if may:
            VERBS[verb](job, actor)
        else:
            with pytest.raises(Refused, match="needs the role operator"):
                VERBS[verb](job, actor)
    assert Operation.objects.count() == (2 if may else 0)
    asked = Job.objects.exclude(deletion_asked_at=None, termination_asked_at=None)
    assert asked.count() == (2 if may else 0)


def test_who_lost_the_role_no_longer_ends_their_own(account: Account, submitter: User) -> None:
    job = make_job(account, created_by=submitter)
    submitter.memberships.all().delete()
    with pytest.raises(Refused, match="needs the role submitter"):
        operations.terminate_job(job, actor=submitter)


@pytest.mark.parametrize("verb", ["create", *VERBS])
def test_an_observed_account_refuses_every_verb_with_that_reason(pool: Pool, admin: User, verb: str) -> None:
    job = make_job(pool.account) if verb in VERBS else new_job(pool)
    Account.objects.update(mode=Account.Mode.OBSERVE)
    pool.account.refresh_from_db()
    with pytest.raises(Refused, match="observe only") as refused:
        VERBS[verb](job, admin) if verb in VERBS else operations.create_job(job, actor=admin)
    assert refused.value.code == "observe_only"
    assert not Operation.objects.exists()
    untouched = Job.objects.filter(deletion_asked_at=None, termination_asked_at=None)
    assert untouched.count() == (verb in VERBS)


@pytest.mark.parametrize(
    ("batch_id", "said"),
    [
        ("j" * 65, "at most 64"),
        ("job 1", "no spaces"),
        ("job.1", "no spaces"),
        ("job/1", "no spaces"),
        ("job:1", "no spaces"),
        ("job_1\n", "no spaces"),
        ("", "cannot be blank"),
    ],
)
def test_an_id_that_azure_would_refuse_is_said_at_the_id(pool: Pool, batch_id: str, said: str) -> None:
    assert said in problems_of(new_job(pool, batch_id=batch_id))["batch_id"][0]


def test_an_id_that_is_taken_is_said_at_the_id_whatever_its_case(pool: Pool) -> None:
    make_job(pool.account, batch_id="JOB_1", is_ours=False)
    with pytest.raises(ValidationError) as wrong:
        operations.create_job(new_job(pool), actor=None)
    assert "exists already" in wrong.value.message_dict["batch_id"][0]
    Job.objects.update(deleted_at=timezone.now())
    operations.create_job(new_job(pool), actor=None)
    assert Job.objects.count() == 2


@pytest.mark.parametrize(
    ("field", "values", "said"),
    [
        ("revision", {"revision": None}, "Choose a definition"),
        ("pool", {"pool": None}, "Choose a pool"),
        ("asked_priority", {"asked_priority": 1001}, "1000"),
        ("asked_priority", {"asked_priority": -1001}, "-1000"),
        ("wall_clock_minutes", {"wall_clock_minutes": 0}, "1"),
        ("parameters", {"parameters": {"run_name": "a\nb"}}, "run_name: One line"),
        ("parameters", {"parameters": {"nonsense": 1}}, "nonsense: This definition has no such"),
        ("container_image", {"container_image": "other.azurecr.io/a:1"}, "no registry other"),
        ("container_image", {"container_image": "zoo.azurecr.io/a:1"}, "no repository a"),
        ("container_image", {"container_image": "zoo.azurecr.io/pytorch:9"}, "no tag 9"),
    ],
)
def test_a_wrong_value_is_said_at_its_field(
    account: Account, field: str, values: dict[str, Any], said: str
) -> None:
    make_registry(account, login_server="zoo.azurecr.io")
    make_image(account, tag="1")
    operations.install_definitions()
    wrong = problems_of(new_job(make_pool(account), **values))
    assert list(wrong) == [field]
    assert said in wrong[field][0]


def test_everything_wrong_is_said_at_once(pool: Pool) -> None:
    job = new_job(pool, batch_id="a b", asked_priority=9999, container_image="x", parameters={"nonsense": 1})
    assert set(problems_of(job)) == {"batch_id", "asked_priority", "container_image", "parameters"}


def test_a_pool_that_cannot_run_the_job_is_said_at_the_pool(pool: Pool) -> None:
    training = {"slug": "zoobot-training", "parameters": {"catalogue": "catalogues/hdf.csv"}}
    bare = make_pool(pool.account, image=pool.image, container_image=pool.container_image)
    assert "does not mount" in problems_of(new_job(bare, **training))["pool"][0]
    pool.deletion_asked_at = timezone.now()
    assert "about to be" in problems_of(new_job(pool))["pool"][0]
    other = Account.objects.create(slug="other", batch_account="other", batch_endpoint="https://127.0.0.1:9")
    assert "another account" in problems_of(new_job(make_pool(other), account=pool.account))["pool"][0]


def test_a_job_that_needs_an_image_and_has_none_is_said_at_the_image(pool: Pool) -> None:
    bare = make_pool(pool.account, mount_configuration=MOUNTS)
    job = new_job(bare, "zoobot-training", parameters={"catalogue": "catalogues/hdf.csv"})
    assert "no container image" in problems_of(job)["container_image"][0]


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
def test_what_is_interrupted_leaves_nothing(pool: Pool, admin: User, verb: str, interruption: None) -> None:
    job = make_job(pool.account) if verb in VERBS else new_job(pool)
    before = list(Job.objects.values())
    with pytest.raises(Interrupted):
        VERBS[verb](job, admin) if verb in VERBS else operations.create_job(job, actor=admin)
    assert not Operation.objects.exists()
    assert list(Job.objects.values()) == before


@pytest.mark.django_db(transaction=True)
def test_of_many_who_ask_for_one_id_exactly_one_gets_it(pool: Pool) -> None:
    revision = definition("gpu-check")
    barrier = threading.Barrier(4)
    said: list[str] = []

    def ask() -> None:
        try:
            job = new_job(pool, revision=revision)
            barrier.wait()
            operations.create_job(job, actor=None)
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
    assert (Job.objects.count(), Operation.objects.count()) == (1, 1)


def test_a_job_that_comes_between_check_and_write_is_said_at_the_id(pool: Pool) -> None:
    """The database has the last word: the other one appears after everything was checked."""

    def appear(**_: Any) -> None:
        Job.objects.bulk_create([new_job(pool, batch_id="JOB_1", created_at=timezone.now())])

    job = new_job(pool)
    pre_save.connect(appear, sender=Job)
    try:
        with pytest.raises(ValidationError) as wrong:
            operations.create_job(job, actor=None)
    finally:
        pre_save.disconnect(appear, sender=Job)
    assert "a moment ago" in wrong.value.message_dict["batch_id"][0]
    assert not Operation.objects.exists()


def test_viewers_may_have_things_read_at_once(account: Account, viewer: User, outsider: User) -> None:
    old, now = make_finished_job(account), timezone.now()
    sync.keep_targets(account, now=now)
    SyncTarget.objects.update(next_due_at=now + timedelta(hours=1))
    with pytest.raises(Refused):
        operations.refresh_jobs(account, actor=outsider)
    with pytest.raises(Refused):
        operations.refresh_job(old, actor=outsider)
    operations.refresh_jobs(account, actor=viewer, now=now)
    operations.refresh_job(old, actor=viewer, now=now)
    hurried = SyncTarget.objects.filter(hurried_at=now, is_active=True)
    assert sorted(hurried.values_list("kind", "subject")) == [
        ("all_jobs", ""),
        ("jobs", ""),
        ("tasks", old.batch_id),
    ]


def test_shipped_definitions_are_installed_once_and_an_edited_one_stays(admin: User) -> None:
    shipped = definitions.load_all()
    assert operations.install_definitions() == len(shipped)
    assert operations.install_definitions() == 0
    mine = JobDefinition.objects.get(slug="gpu-check")
    assert (mine.is_shipped, mine.revisions.count()) == (True, 1)
    edited = mine.revisions.create(number=2, spec={"title": "mine"}, made_at=timezone.now(), made_by=admin)
    mine.current = edited
    mine.save()
    mine.revisions.filter(number=1).update(spec={"title": "as it was shipped before"})
    assert operations.install_definitions() == 1
    mine.refresh_from_db()
    assert mine.current == edited
    assert mine.revisions.get(number=3).spec == definitions.load("gpu-check")


def test_definition_that_is_no_longer_offered_is_refused(account: Account, submitter: User) -> None:
    operations.install_definitions()
    definition = JobDefinition.objects.get(slug="gpu-check")
    definition.is_active = False
    definition.save()
    job = Job(account=account, revision=definition.current, pool=make_pool(account))
    with pytest.raises(ValidationError) as error:
        operations.create_job(job, actor=submitter)
    assert "not offered any more" in error.value.message_dict["revision"][0]


def test_the_address_of_the_form_is_no_id(pool: Pool) -> None:
    assert "choose another id" in problems_of(new_job(pool, batch_id="New"))["batch_id"][0]


def test_a_signature_by_identity_keeps_within_what_azure_allows() -> None:
    task = TaskPlan(id="1", command_line="true", script=("true",), max_wall_clock_minutes=720)
    assert specs.upload_life(task) > timedelta(days=14)
    by_identity = specs.upload_life(task, is_by_identity=True)
    assert timedelta(days=6) < by_identity <= specs.MOST_BY_IDENTITY
    endless = TaskPlan(id="1", command_line="true", script=("true",), max_wall_clock_minutes=8 * 24 * 60)
    assert specs.upload_life(endless, is_by_identity=True) > timedelta(days=8)  # refused where it is signed
