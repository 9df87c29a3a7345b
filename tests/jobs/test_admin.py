"""In the admin, jobs change through operations alone, definitions by revisions; and every model is there."""

import json
import re
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin as site
from django.contrib.auth.models import Permission, User
from django.contrib.messages import get_messages
from django.db import connection, models
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from activity.models import Account, Membership, Operation, Revision, SyncRun, SyncTarget
from jobs import definitions, operations
from jobs.kinds import TASKS
from jobs.models import Job, JobDefinition, JobDefinitionRevision, JobPreparation, Task
from pools.models import Pool, PoolRevision, VmSize
from tests.make import (
    make_finished_job,
    make_image,
    make_job,
    make_node,
    make_operation,
    make_pool,
    make_storage,
    make_task,
    make_vm_image,
)

pytestmark = pytest.mark.django_db

JOBS_PAGE = "/admin/jobs/job/"
MODELS = [model for app in ("activity", "pools", "jobs") for model in apps.get_app_config(app).get_models()]
each_model = pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.label_lower)


@pytest.fixture
def signed_in(client: Client, admin: User) -> Client:
    """Return a client signed in as a superuser."""
    client.force_login(admin)
    return client


def act(client: Client, action: str, *rows: Any, **values: str) -> Any:
    """Ask for an action on jobs."""
    return client.post(JOBS_PAGE, {"action": action, "_selected_action": [row.pk for row in rows], **values})


def said(response: Any) -> list[str]:
    """Return the messages that an action leaves."""
    return [message.message for message in get_messages(response.wsgi_request)]


def fill(admin: User, number: int) -> None:
    """Make a row of every model, in an account of its own."""
    account = Account.objects.create(
        slug=f"a{number}",
        name=f"A{number}",
        batch_account=f"acc{number}",
        batch_endpoint="https://127.0.0.1:9",
    )
    now = timezone.now()
    user = User.objects.create_user(f"user{number}")
    Membership.objects.create(user=user, account=account, role="viewer")
    image, storage = make_image(account, repository=f"r{number}"), make_storage(account)
    size = VmSize.objects.create(name=f"Size{number}", family="f")
    pool = make_pool(account, size=size, vm_image=make_vm_image(account), image=image, created_by=user)
    pool.mounts.create(storage=storage, container_name="training", relative_mount_path="training")
    PoolRevision.objects.create(pool=pool, number=1, content={}, made_at=now, made_by=user)
    make_node(pool)
    definition = JobDefinition.objects.create(slug=f"d{number}", title="D", kind="check")
    definition.current = definition.revisions.create(number=1, spec={}, made_at=now, made_by=user)
    definition.save()
    job = make_job(account, pool=pool, revision=definition.current, created_by=user, storage=storage)
    make_task(job)
    job.preparations.create(pool_id=pool.batch_id, node_id="n", synced_hash="seen")
    make_operation(account, actor=admin)
    target = SyncTarget.objects.create(account=account, kind="pools")
    SyncRun.objects.create(target=target, account=account, kind="pools")
    Revision.objects.create(account=account, topic="pools")


def address(model: type[models.Model], page: str, *args: Any) -> str:
    """Return where a model's page is."""
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


@each_model
def test_every_model_has_a_list_with_filters_and_search(model: type[models.Model]) -> None:
    """Nothing in the database is out of an administrator's sight."""
    registered = site.site._registry[model]
    assert registered.list_display != ("__str__",)
    assert registered.list_filter
    assert registered.search_fields
    if model._meta.app_label != "activity":
        assert registered.ordering
        assert registered.show_full_result_count is False


@each_model
def test_every_page_answers_an_administrator_under_the_strict_policy(
    signed_in: Client, admin: User, model: type[models.Model]
) -> None:
    """List, search, filters and one row; no script or style of its own in any of them."""
    fill(admin, 1)
    row = model._default_manager.first()
    assert row is not None
    listed = address(model, "changelist")
    filters = [f"?{name}=1" for name in ("is_ours__exact", "deleted_at__isempty", "is_active__exact")]
    for where in (listed, f"{listed}?q=abc", address(model, "change", row.pk)):
        page = signed_in.get(where)
        assert page.status_code == 200, where
        html = page.content.decode()
        assert not re.search(r"<script(?![^>]*(src=|application/json))", html), where
        assert not re.search(r"<style|\sstyle=|\son\w+=", html), where
    for query in filters:
        assert signed_in.get(listed + query).status_code in (200, 302)


@each_model
def test_every_page_is_closed_to_everybody_else(
    client: Client, admin: User, operator: User, model: type[models.Model]
) -> None:
    """People without access to the admin are led to its sign-in; those with access need a permission."""
    fill(admin, 1)
    row = model._default_manager.first()
    assert row is not None
    pages = [address(model, "changelist"), address(model, "add"), address(model, "change", row.pk)]
    for user, status in ((None, 302), (operator, 302)):
        if user:
            client.force_login(user)
        assert {client.get(where).status_code for where in pages} == {status}
    User.objects.filter(pk=operator.pk).update(is_staff=True)
    assert {client.get(where).status_code for where in pages} == {403}


@each_model
def test_a_list_asks_the_database_as_often_for_many_rows_as_for_few(
    signed_in: Client, admin: User, model: type[models.Model]
) -> None:
    """No row is asked about by itself."""

    def queries() -> int:
        with CaptureQueriesContext(
            connection,
        ) as context:
            assert signed_in.get(address(model, "changelist")).status_code == 200
        return len(context)

    # Two at first: filters by account appear with the second.
    fill(admin, 1)
    fill(admin, 2)
    few = queries()
    for number in range(3, 7):
        fill(admin, number)
    assert queries() == few


@pytest.mark.parametrize(
    ("action", "verb", "consequence"),
    [("terminate", "terminate", "their files stay"), ("delete_jobs", "delete", "are deleted in Azure")],
)
def test_jobs_end_only_after_a_confirmation_that_names_them(
    signed_in: Client, admin: User, account: Account, action: str, verb: str, consequence: str
) -> None:
    """The reason is on record."""
    jobs = [make_job(account, batch_id=name, title="Round 7") for name in ("job-1", "job-2")]
    page = act(signed_in, action, *jobs)
    html = page.content.decode()
    assert consequence in html
    assert "job-1 (Round 7)" in html
    assert "job-2 (Round 7)" in html
    assert not Operation.objects.exists()
    done = act(signed_in, action, *jobs, confirmed="yes", reason="wrong catalogue")
    assert len(said(done)) == 2
    asked = Operation.objects.order_by("subject")
    assert [(row.verb, row.subject, row.reason, row.actor) for row in asked] == [
        (verb, "job-1", "wrong catalogue", admin),
        (verb, "job-2", "wrong catalogue", admin),
    ]


def test_a_job_that_has_ended_says_so_and_keeps_no_other_back(signed_in: Client, account: Account) -> None:
    """One result for each."""
    jobs = [make_finished_job(account, batch_id="over"), make_job(account, batch_id="running")]
    done = act(signed_in, "terminate", *jobs, confirmed="yes", reason="")
    assert sorted(said(done)) == [
        "Termination of running is asked for.",
        "over: Job over has ended already or is about to.",
    ]
    assert Operation.objects.get().subject == "running"


def test_submitters_end_their_own_jobs_only(client: Client, submitter: User, account: Account) -> None:
    """The same rule as on pages."""
    submitter.is_staff = True
    submitter.save()
    submitter.user_permissions.add(Permission.objects.get(codename="view_job"))
    jobs = [make_job(account, batch_id="mine", created_by=submitter), make_job(account, batch_id="theirs")]
    client.force_login(submitter)
    done = act(client, "terminate", *jobs, confirmed="yes", reason="")
    assert sorted(said(done))[0] == "Termination of mine is asked for."
    assert sorted(said(done))[1].startswith("theirs: This needs the role operator")


def test_a_jobs_tasks_are_read_at_once(signed_in: Client, account: Account) -> None:
    """As the refresh button does."""
    job = make_finished_job(account)
    done = act(signed_in, "read_now", job)
    assert said(done) == [f"Reading of {job} is asked for."]
    assert SyncTarget.objects.get(kind=TASKS, subject=job.batch_id).hurried_at is not None


@pytest.mark.parametrize("model", [Job, JobPreparation, Task, JobDefinitionRevision])
def test_what_is_asked_for_or_observed_has_no_form(
    signed_in: Client, admin: User, model: type[models.Model]
) -> None:
    """It is neither added, changed nor deleted here."""
    fill(admin, 1)
    row = model._default_manager.get()
    assert signed_in.get(address(model, "add")).status_code == 403
    assert signed_in.post(address(model, "change", row.pk), {"state": "x"}).status_code == 403
    assert signed_in.post(address(model, "delete", row.pk), {"post": "yes"}).status_code == 403
    assert 'name="_save"' not in signed_in.get(address(model, "change", row.pk)).content.decode()
    assert model._default_manager.get() == row


def test_a_jobs_page_shows_every_column_hides_secrets_and_links_to_its_own_page(
    signed_in: Client, account: Account
) -> None:
    """The plan's references to secrets are names, and are shown."""
    plan = {"common_environment": [{"name": "WANDB_API_KEY", "value": "", "secret": "wandb"}]}
    job = make_job(
        account,
        batch_id="job-1",
        terminate_reason="UserTerminate",
        plan=plan,
        metadata=[{"name": "api_key", "value": "hunter22"}],
    )
    html = signed_in.get(address(Job, "change", job.pk)).content.decode()
    assert "UserTerminate" in html
    assert "wandb" in html
    assert "hunter22" not in html
    assert 'href="/zoobot/jobs/job-1/"' in html


@pytest.mark.parametrize(
    ("model", "query", "count"),
    [
        (Task, "state=completed", 1),
        (Task, "result=failure", 1),
        (Task, "state=running", 2),
        (Task, "q=alpha", 1),
        (Job, "state=active", 1),
        (Job, "state=completed", 0),
        (Job, "q=nothing", 0),
    ],
)
def test_lists_are_narrowed_down(
    signed_in: Client, account: Account, model: type[models.Model], query: str, count: int
) -> None:
    """By words that are known beforehand, and by the beginning of an id."""
    job = make_job(account)
    make_task(job, batch_id="Alpha")
    make_task(job, batch_id="beta")
    make_task(job, batch_id="gamma", state="completed", result="failure")
    page = signed_in.get(f"{address(model, 'changelist')}?{query}")
    assert page.context["cl"].result_count == count


SPEC: dict[str, Any] = {
    "name": "hello",
    "title": "Hello",
    "kind": "check",
    "parameters": [{"name": "who", "label": "Who", "type": "text", "is_required": True}],
    "environment": [{"name": "WHO", "parameter": "who"}],
    "tasks": [{"id": "1", "script": ["echo $WHO"]}],
}


def type_in(spec: Any, **values: Any) -> dict[str, Any]:
    """Return a form's content."""
    typed = {"slug": "hello", "title": "Hello", "kind": "check", "is_active": "on"}
    return {**typed, "spec": spec if isinstance(spec, str) else json.dumps(spec), **values}


@pytest.fixture
def hello(signed_in: Client) -> JobDefinition:
    """Return a definition typed in by the administrator."""
    assert signed_in.post(address(JobDefinition, "add"), type_in(SPEC)).status_code == 302
    return JobDefinition.objects.get()


def test_changed_data_become_a_new_revision(signed_in: Client, admin: User, hello: JobDefinition) -> None:
    """With its author; what is unchanged makes none, and an older one can be chosen again."""
    first = hello.current
    assert first is not None
    assert (first.number, first.spec, first.made_by) == (1, SPEC, admin)
    change = address(JobDefinition, "change", hello.pk)
    assert "echo $WHO" in signed_in.get(change).content.decode()
    laid_out = json.dumps(SPEC, indent=4, sort_keys=True)
    signed_in.post(change, type_in(laid_out, revision=first.pk, title="Hello, you"))
    hello.refresh_from_db()
    assert (hello.title, hello.current, hello.revisions.count()) == ("Hello, you", first, 1)
    renewed = {**SPEC, "tasks": [{"id": "1", "script": ["echo hello $WHO"]}]}
    signed_in.post(change, type_in(renewed, revision=first.pk, slug="other"))
    hello.refresh_from_db()
    assert hello.current is not None
    assert (hello.slug, hello.current.number, hello.spec) == ("hello", 2, renewed)
    signed_in.post(change, type_in(renewed, revision=first.pk))
    hello.refresh_from_db()
    assert (hello.current, hello.revisions.count()) == (first, 2)


def test_a_change_made_meanwhile_is_not_undone(signed_in: Client, hello: JobDefinition) -> None:
    """A form that was opened before still names the revision it showed."""
    opened = hello.current
    assert opened is not None
    change = address(JobDefinition, "change", hello.pk)
    signed_in.post(change, type_in({**SPEC, "mounts": ["training"]}, revision=opened.pk))
    page = signed_in.post(change, type_in({**SPEC, "mounts": ["models"]}, revision=opened.pk))
    assert "open it again" in page.content.decode()
    hello.refresh_from_db()
    assert hello.spec["mounts"] == ["training"]


def test_a_revision_of_another_definition_cannot_be_chosen(signed_in: Client, hello: JobDefinition) -> None:
    """Only its own."""
    operations.install_definitions()
    other = JobDefinitionRevision.objects.exclude(definition=hello).first()
    assert other is not None
    page = signed_in.post(address(JobDefinition, "change", hello.pk), type_in(SPEC, revision=other.pk))
    assert "not one of the available choices" in page.content.decode()


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        ("{", "Enter a valid JSON"),
        ([1], "one JSON object"),
        ({**SPEC, "name": "other"}, "has to be hello"),
        ({**SPEC, "tasks": []}, "at least one task"),
        ({**SPEC, "tasks": SPEC["tasks"] * 2}, "an id of its own"),
        ({**SPEC, "tasks": [{"id": "a b", "script": ["true"]}]}, "Use letters, digits"),
        ({**SPEC, "tasks": [{"id": "1", "script": ["echo 'it'"]}]}, "no single quote"),
        ({**SPEC, "tasks": [{"id": "1"}]}, "script&#x27; is missing"),
        ({**SPEC, "parameters": [{"name": "who", "label": "Who", "type": "word"}]}, "unknown type"),
        ({**SPEC, "parameters": [{"name": "who", "type": "text"}]}, "label"),
        ({**SPEC, "parameters": [{**SPEC["parameters"][0], "pattern": "("}]}, "not a definition"),
        ({**SPEC, "parameters": [{**SPEC["parameters"][0], "default": 3}]}, "has to be text"),
        ({**SPEC, "parameters": ["who"]}, "not a definition"),
        ({**SPEC, "environment": [{"name": "WHO", "parameter": "whom"}]}, "whom&#x27; is missing"),
        ({**SPEC, "environment": [{"name": "WHO", "value": "{folder}"}]}, "{folder} stands for nothing"),
        ({**SPEC, "rules": [{"differ": ["who", "whom"]}]}, "message&#x27; is missing"),
        ({**SPEC, "note": float("nan")}, "not JSON compliant"),
        ({**SPEC, "note": "a\0b"}, "no database keeps"),
    ],
)
def test_data_that_no_job_can_be_planned_from_are_refused_at_their_field(
    signed_in: Client, hello: JobDefinition, spec: Any, complaint: str
) -> None:
    """What was typed stays there to be mended."""
    change = address(JobDefinition, "change", hello.pk)
    page = signed_in.post(change, type_in(spec, revision=hello.current_id))
    assert page.status_code == 200
    assert complaint in " ".join(page.content.decode().split())
    assert list(page.context["adminform"].form.errors) == ["spec"]
    hello.refresh_from_db()
    assert (hello.spec, hello.revisions.count()) == (SPEC, 1)


def test_shipped_definitions_are_whole_and_keep_their_names(signed_in: Client) -> None:
    """Their texts come with the product; what is on offer is decided here."""
    operations.install_definitions()
    for definition in JobDefinition.objects.all():
        typed = {"spec": json.dumps(definition.spec), "revision": definition.current_id, "title": "Mine"}
        assert signed_in.post(address(JobDefinition, "change", definition.pk), typed).status_code == 302
        definition.refresh_from_db()
        assert definition.title == definitions.load(definition.slug)["title"]
        assert definition.is_active is False
        assert definition.revisions.count() == 1


def test_an_edited_definition_survives_the_next_start(signed_in: Client) -> None:
    """The shipped data do not come back over it."""
    operations.install_definitions()
    definition = JobDefinition.objects.get(slug="gpu-check")
    edited = {**definition.spec, "version": 2}
    typed = {"spec": json.dumps(edited), "revision": definition.current_id, "is_active": "on"}
    signed_in.post(address(JobDefinition, "change", definition.pk), typed)
    operations.install_definitions()
    definition.refresh_from_db()
    assert definition.spec == edited


def test_definitions_are_never_deleted(signed_in: Client, hello: JobDefinition) -> None:
    """Jobs refer to them; they can be taken out of offer."""
    assert signed_in.post(address(JobDefinition, "delete", hello.pk), {"post": "yes"}).status_code == 403
    assert JobDefinition.objects.exists()


def test_definitions_can_be_looked_at_by_those_who_may_not_change_them(
    client: Client, viewer: User, hello: JobDefinition
) -> None:
    """With Django's permission to view."""
    viewer.is_staff = True
    viewer.save()
    viewer.user_permissions.add(Permission.objects.get(codename="view_jobdefinition"))
    client.force_login(viewer)
    change = address(JobDefinition, "change", hello.pk)
    page = client.get(change)
    assert page.status_code == 200
    assert "<textarea" not in page.content.decode()
    assert client.post(change, type_in(SPEC, title="Mine")).status_code == 403
    assert not Pool.objects.exists()
