"""Submissions that came to nothing, and jobs that wait in vain."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from activity.models import Account
from jobs import operations, parameters
from jobs.forms import JobForm
from jobs.models import Job, JobDefinition
from tests.make import make_credential, make_job, make_operation, make_pool

TAKEN = "Azure Batch has a job round-7 already, made elsewhere. Nothing was changed; choose another id."


@pytest.fixture(autouse=True)
def _definitions(db: None) -> None:
    operations.install_definitions()


def refused_job(account: Account, asker: User, **overrides: Any) -> Job:
    """Make a job as a refused submission leaves it."""
    operation = make_operation(account, kind="job", subject="round-7", actor=asker)
    definition = JobDefinition.objects.get(slug="gpu-check")
    given = {"batch_id": "round-7", "operation": operation.uuid, "created_by": asker, "problem": TAKEN}
    unseen = {"synced_hash": "", "state": "", "creation_time": None, "tasks_total": None, "tasks_active": 0}
    return make_job(account, **{"revision": definition.current, **given, **unseen, **overrides})


def page(client: Client, who: User, url: str = "/zoobot/jobs/round-7/") -> str:
    """Return what somebody sees there."""
    client.force_login(who)
    return client.get(url).content.decode()


def test_who_asked_for_a_taken_id_reads_so_where_they_land(
    client: Client, submitter: User, account: Account
) -> None:
    """The page is the foreign job's; the reason and the way back are on it."""
    make_job(account, batch_id="Round-7", is_ours=False, creation_time=None)
    asked = refused_job(account, submitter, deleted_at=timezone.now())
    text = page(client, submitter)
    assert TAKEN in text
    assert f"/zoobot/jobs/new/gpu-check/?again={asked.operation}" in text


def test_asking_again_fills_the_form_and_chooses_another_id(
    client: Client, submitter: User, account: Account
) -> None:
    """Pool, limits and the definition's answers are as they were."""
    pool = make_pool(account, batch_id="gpu_1")
    asked = refused_job(account, submitter, pool=pool, title="Round 7", wall_clock_minutes=77)
    text = page(client, submitter, f"/zoobot/jobs/new/gpu-check/?again={asked.operation}")
    assert 'value="Round 7"' in text
    assert 'value="77"' in text
    assert f'value="{pool.pk}" checked' in text
    assert 'value="round-7"' not in text


def test_the_parameters_of_a_job_are_asked_again_as_they_were(
    client: Client, submitter: User, account: Account
) -> None:
    """JSON is text in a form."""
    training = JobDefinition.objects.get(slug="zoobot-training").current
    assert training is not None
    parameters = {"catalogue": "decals.csv", "run_opts": "--epochs 3 --x 'a b'", "fixed_crop": {"a": 1}}
    asked = refused_job(account, submitter, revision=training, parameters=parameters)
    text = page(client, submitter, f"/zoobot/jobs/new/zoobot-training/?again={asked.operation}")
    assert "decals.csv" in text
    assert "--epochs 3 --x &#x27;a b&#x27;" in text


def test_a_failed_submission_that_sync_saw_keeps_its_reason(account: Account, submitter: User) -> None:
    """Sync may see the half-made job before it is cleared away."""
    job = refused_job(account, submitter, synced_hash="seen", state="active", problem="Task a was refused.")
    assert (job.badge.word, job.badge.reason) == ("Failed", "Task a was refused.")
    job.deleted_at = timezone.now()
    assert (job.badge.word, job.badge.reason) == ("Failed", "Task a was refused.")


def test_a_job_whose_pool_is_gone_is_blocked(client: Client, viewer: User, account: Account) -> None:
    """It needs a person, and it does not wait for nodes."""
    gone = make_pool(account, batch_id="gone", deleted_at=timezone.now())
    job = make_job(account, title="Stranded", pool=gone)
    assert (job.badge.word, "gone no longer exists" in job.badge.reason) == ("Blocked", True)
    text = page(client, viewer, "/zoobot/")
    assert "Stranded: blocked" in text


def test_what_waits_is_what_nodes_would_help(client: Client, viewer: User, account: Account) -> None:
    """Not open jobs, blocked ones or those that run."""
    pool = make_pool(account)
    waits = make_job(account, pool=pool)
    queued = refused_job(account, viewer, problem="")
    make_job(account, pool=pool, tasks_running=1)
    make_job(account, pool=pool, tasks_active=0, tasks_succeeded=1, on_all_tasks_complete="noaction")
    make_job(account, pool=pool, preparations_failed=1)
    make_job(account, pool=make_pool(account, deleted_at=timezone.now()))
    assert set(Job.objects.waiting()) == {waits, queued}
    client.force_login(viewer)
    assert client.get("/zoobot/").context["figures"].jobs_waiting == 2
    assert set(client.get("/zoobot/jobs/?state=waiting").context["page"].rows) == {waits, queued}


def test_an_answer_that_needs_a_missing_credential_is_refused_at_its_field(
    account: Account, submitter: User
) -> None:
    """Weights & Biases asks for a key on the node, where nobody can type it."""
    training = JobDefinition.objects.get(slug="zoobot-training").current
    assert training is not None
    questions = parameters.read(training.spec)
    given = {f"p_{asked.name}": asked.default for asked in questions if asked.default is not None}
    given |= {"p_wandb": "on", "p_catalogue": "decals.csv"}
    form = JobForm(given, instance=Job(account=account, revision=training))
    assert form.errors["p_wandb"] == ["This needs the credential WANDB_API_KEY, which an admin can add."]
    make_credential(name="zoobot:WANDB_API_KEY")
    form = JobForm(given, instance=Job(account=account, revision=training))
    assert "p_wandb" not in form.errors


def test_a_job_called_new_elsewhere_has_an_address(client: Client, viewer: User, account: Account) -> None:
    """`new` is the page that offers definitions."""
    url = "/zoobot/jobs/NEW/"
    make_job(account, batch_id="new", title="", is_ours=False)
    assert f'href="{url}"' in page(client, viewer, "/zoobot/jobs/")
    assert "<h1>new</h1>" in page(client, viewer, url)


def test_a_pool_that_was_never_made_cannot_be_chosen(
    client: Client, submitter: User, account: Account
) -> None:
    """No job could run on it."""
    make_pool(account, batch_id="nowhere", synced_hash="", problem="Refused.")
    assert "nowhere" not in page(client, submitter, "/zoobot/jobs/new/gpu-check/")
