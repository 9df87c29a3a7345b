"""Pages of jobs: the list, submission, one job, its log and files."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.template.loader import render_to_string
from django.test import Client
from django.utils import timezone

from activity.models import Account, Operation
from jobs import operations, parameters
from jobs.files import FileRow
from jobs.models import Job, JobDefinition
from tests.make import (
    make_credential,
    make_finished_job,
    make_image,
    make_job,
    make_operation,
    make_pool,
    make_storage,
    make_task,
)

PART = {"HX-Request": "true", "HX-Request-Type": "partial"}
MOUNTS = [
    {"relative_mount_path": name, "source": f"zoo/{name}"} for name in ("training", "models", "predictions")
]


@pytest.fixture
def given(account: Account) -> dict[str, Any]:
    """Return a form that asks for a good training job."""
    operations.install_definitions()
    make_storage(account, name="zoo", is_default=True)
    image = make_image(account)
    pool = make_pool(
        account,
        image=image,
        container_image=image.reference,
        image_digest=image.digest,
        mount_configuration=MOUNTS,
    )
    definition = JobDefinition.objects.select_related("current").get(slug="zoobot-training")
    questions = parameters.read(definition.spec)
    return {
        **{f"p_{asked.name}": asked.default for asked in questions if asked.default is not None},
        "batch_id": "job-1",
        "title": "Round 7",
        "pool": pool.pk,
        "pins_digest": "on",
        "p_catalogue": "catalogues/hdf.csv",
    }


NEW = "/zoobot/jobs/new/zoobot-training/"


def test_the_list_is_a_page_and_a_part(client: Client, viewer: User, account: Account) -> None:
    """htmx gets the table alone, and polls fast while a job is open."""
    make_finished_job(account, title="Round 1")
    client.force_login(viewer)
    part = client.get("/zoobot/jobs/", headers=PART).content.decode()
    assert "<html" not in part
    assert 'id="job-table"' in part
    assert 'hx-trigger="every 15s"' in part
    make_job(account, title="Round 2")
    page = client.get("/zoobot/jobs/").content.decode()
    assert "<html" in page
    assert 'hx-trigger="every 2s"' in page
    assert page.index("Round 2") < page.index("Round 1")


def test_an_unchanged_list_answers_304(client: Client, viewer: User, account: Account) -> None:
    """By the tag of the last answer."""
    client.force_login(viewer)
    tag = client.get("/zoobot/jobs/", headers=PART)["HX-PTag"]
    assert client.get("/zoobot/jobs/", headers={**PART, "HX-PTag": tag}).status_code == 304
    assert client.get("/zoobot/jobs/?state=failed", headers={**PART, "HX-PTag": tag}).status_code == 200


def test_the_list_costs_the_same_with_many_jobs(
    client: Client, viewer: User, account: Account, django_assert_max_num_queries: Any
) -> None:
    """No query per row."""
    operations.install_definitions()
    for _ in range(20):
        make_job(account, pool=make_pool(account), created_by=viewer)
    client.force_login(viewer)
    with django_assert_max_num_queries(14):
        assert client.get("/zoobot/jobs/").status_code == 200


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("state=running", ["runs"]),
        ("state=waiting", ["waits"]),
        ("state=completed", ["done"]),
        ("q=RUN", ["runs"]),
        ("pool=gpu_1", ["runs"]),
        ("state=nonsense", ["done", "runs", "waits"]),
    ],
)
def test_the_list_can_be_narrowed_down(
    query: str, found: list[str], client: Client, viewer: User, account: Account
) -> None:
    """By state, the beginning of the id, and the pool."""
    pool = make_pool(account, batch_id="gpu_1")
    make_job(account, batch_id="runs", tasks_running=1, tasks_active=0, pool=pool)
    make_job(account, batch_id="waits")
    make_finished_job(account, batch_id="done")
    client.force_login(viewer)
    page = client.get(f"/zoobot/jobs/?{query}").context["page"]
    assert sorted(job.batch_id for job in page.rows) == found


def test_the_definitions_are_offered(client: Client, submitter: User, given: dict[str, Any]) -> None:
    """And the pool that one came from is kept."""
    client.force_login(submitter)
    text = client.get("/zoobot/jobs/new/?pool=gpu_1").content.decode()
    assert f"{NEW}?pool=gpu_1" in text
    assert "gpu-check" in text


def test_the_form_asks_what_the_definition_needs(
    client: Client, submitter: User, account: Account, given: dict[str, Any]
) -> None:
    """Defaults are filled in, and the address may choose the pool."""
    pool = make_pool(account, batch_id="second")
    client.force_login(submitter)
    form = client.get(f"{NEW}?pool=second").context["form"]
    assert form["pool"].value() == pool.pk
    assert form["p_checkpoint"].value() == "zoobot_pretrained_model.ckpt"
    assert "p_training_script" in [field.name for field in form.advanced]


def test_a_good_form_submits_the_job(client: Client, submitter: User, given: dict[str, Any]) -> None:
    """One job, one operation, and the way to its page."""
    client.force_login(submitter)
    response = client.post(NEW, given)
    assert response.status_code == 302, response.context["form"].errors
    assert response["Location"] == "/zoobot/jobs/job-1/"
    job = Job.objects.get()
    assert job.parameters["catalogue"] == "catalogues/hdf.csv"
    assert job.created_by == submitter
    assert Operation.objects.get().subject == "job-1"


@pytest.mark.parametrize(
    ("change", "field", "message"),
    [
        ({"p_catalogue": ""}, "p_catalogue", "required"),
        ({"p_catalogue": "../secrets.csv"}, "p_catalogue", ""),
        ({"p_batch_size": "many"}, "p_batch_size", ""),
        ({"pool": ""}, "pool", "required"),
        ({"pool": "0"}, "pool", "valid choice"),
        ({"batch_id": "has space"}, "batch_id", "no spaces"),
        ({"container_image": "nowhere/else:1"}, "container_image", ""),
        ({"wall_clock_minutes": "0"}, "wall_clock_minutes", "greater than or equal to 1"),
    ],
)
def test_bad_input_is_answered_at_its_field(
    change: dict[str, str], field: str, message: str, client: Client, submitter: User, given: dict[str, Any]
) -> None:
    """422, a message at the field, and nothing that was typed is lost."""
    client.force_login(submitter)
    response = client.post(NEW, {**given, **change})
    assert response.status_code == 422
    errors = response.context["form"].errors[field]
    assert len(errors) == 1
    assert message in errors[0]
    assert "Round 7" in response.content.decode()
    assert not Job.objects.exists()


def test_a_pool_without_the_mounts_is_refused_at_the_pool(
    client: Client, submitter: User, account: Account, given: dict[str, Any]
) -> None:
    """What only the whole plan shows comes back to a field too."""
    image = make_image(account)
    bare = make_pool(account, image=image, container_image=image.reference)
    client.force_login(submitter)
    response = client.post(NEW, {**given, "pool": bare.pk})
    assert response.status_code == 422
    assert "does not mount" in response.context["form"].errors["pool"][0]


def test_the_preview_shows_command_environment_and_json(
    client: Client, submitter: User, given: dict[str, Any]
) -> None:
    """Nothing is submitted by it, and an unfinished form says what it needs."""
    client.force_login(submitter)
    text = client.post(f"{NEW}preview/", given, headers=PART).content.decode()
    assert "<html" not in text
    assert 'id="preview"' in text
    assert "/bin/bash -c" in text
    assert "catalogues/hdf.csv" in text
    assert not Job.objects.exists()
    unfinished = client.post(f"{NEW}preview/", {**given, "p_catalogue": ""}, headers=PART).content.decode()
    assert "Catalogue: This field is required." in unfinished


def test_a_running_job_polls_and_a_final_one_does_not(client: Client, viewer: User, account: Account) -> None:
    """A finished job whose tasks are still to be read once more polls slowly."""
    job = make_job(account, batch_id="j")
    client.force_login(viewer)
    assert (
        'id="job-live" hx-get="/zoobot/jobs/j/" hx-trigger="every 2s"'
        in client.get("/zoobot/jobs/j/").content.decode()
    )
    job.delete()
    job = make_finished_job(account, batch_id="j", has_final_tasks=False)
    assert 'hx-trigger="every 15s"' in client.get("/zoobot/jobs/j/", headers=PART).content.decode()
    job.has_final_tasks = True
    job.save()
    assert 'id="job-live">' in client.get("/zoobot/jobs/j/").content.decode()
    make_operation(account, kind="job", subject="j", verb="delete")
    assert 'hx-trigger="every 2s"' in client.get("/zoobot/jobs/j/").content.decode()


def test_the_chosen_task_decides_whose_log_is_shown(client: Client, viewer: User, account: Account) -> None:
    """The first one, unless another of this job is asked for."""
    job = make_job(account, batch_id="j")
    make_task(job, batch_id="a")
    make_task(job, batch_id="b")
    client.force_login(viewer)
    assert "/tasks/a/log/stdout.txt/" in client.get("/zoobot/jobs/j/").content.decode()
    assert "/tasks/b/log/stdout.txt/" in client.get("/zoobot/jobs/j/?task=b").content.decode()
    assert "/tasks/a/log/stdout.txt/" in client.get("/zoobot/jobs/j/?task=<c>").content.decode()
    assert client.get("/zoobot/jobs/j/tasks/b/")["Location"] == "/zoobot/jobs/j/?task=b"


def test_the_log_of_a_preparation_can_be_chosen(client: Client, viewer: User, account: Account) -> None:
    """What made a node unable to take the job is in there."""
    job = make_job(account, batch_id="j")
    job.preparations.create(
        pool_id="p", node_id="n1", synced_hash="seen", state="completed", result="failure"
    )
    client.force_login(viewer)
    text = client.get("/zoobot/jobs/j/?preparation=n1").content.decode()
    assert 'data-address="/zoobot/jobs/j/preparation/n1/log/stdout.txt/"' in text
    assert "data-log" not in client.get("/zoobot/jobs/j/?preparation=n2").content.decode()
    assert client.get("/zoobot/jobs/j/preparation/n2/log/stdout.txt/").status_code == 404
    assert client.get("/zoobot/jobs/j/preparation/n1/log/passwd/").status_code == 404


def test_a_log_waits_for_its_task(client: Client, viewer: User, account: Account) -> None:
    """Before the task has a node there is nothing to ask Azure for."""
    job = make_job(account, batch_id="j")
    client.force_login(viewer)
    waiting = client.get("/zoobot/jobs/j/tasks/task_1/log/stdout.txt/")
    assert (waiting.status_code, waiting["X-Log-End"]) == (204, "0")
    make_task(job, batch_id="task_1", node_id="", state="active")
    assert client.get("/zoobot/jobs/j/tasks/task_1/log/stdout.txt/").status_code == 204
    assert client.get("/zoobot/jobs/j/tasks/task_1/log/passwd/").status_code == 404


@pytest.mark.parametrize("path", ["../secret", "wd/../../secret", "/etc/passwd", "wd//x", "wd/./x"])
def test_a_download_cannot_leave_its_folder(
    path: str, client: Client, viewer: User, account: Account
) -> None:
    """Paths are checked before Azure is asked."""
    make_task(make_job(account, batch_id="j"), batch_id="t")
    client.force_login(viewer)
    assert client.get(f"/zoobot/jobs/j/tasks/t/files/{path}").status_code == 404
    assert client.get(f"/zoobot/jobs/j/results/{path}").status_code == 404


def test_a_submitter_ends_own_jobs_only(client: Client, submitter: User, account: Account) -> None:
    """Operators may end everybody's."""
    make_job(account, batch_id="theirs")
    make_job(account, batch_id="mine", created_by=submitter)
    client.force_login(submitter)
    assert "terminate/" in client.get("/zoobot/jobs/mine/").content.decode()
    assert "terminate/" not in client.get("/zoobot/jobs/theirs/").content.decode()
    assert client.post("/zoobot/jobs/theirs/terminate/", {}).status_code == 422
    assert client.post("/zoobot/jobs/mine/terminate/", {}).status_code == 302
    assert Operation.objects.get().subject == "mine"


def test_a_job_is_deleted_only_by_its_typed_id(client: Client, operator: User, account: Account) -> None:
    """The server checks it, whatever the button did."""
    make_finished_job(account, batch_id="j")
    client.force_login(operator)
    assert client.post("/zoobot/jobs/j/delete/", {"name": "k"}).status_code == 422
    assert client.post("/zoobot/jobs/j/delete/", {"name": "j"}).status_code == 302
    assert Operation.objects.get().verb == "delete"


def test_file_lists_link_to_downloads(account: Account) -> None:
    """Names with folders in them too; the list asks again only while more may come."""
    rows = [FileRow("wd/out put.json", 2048, None)]
    job = make_job(account, batch_id="j")
    task = make_task(job, batch_id="t")
    files = render_to_string(
        "jobs/_task_files.html", {"account": account, "job": job, "task": task, "rows": rows}
    )
    assert 'href="/zoobot/jobs/j/tasks/t/files/wd/out%20put.json" download' in files
    assert "2.0 KiB" in files
    assert 'hx-trigger="every 15s"' in files
    done = make_finished_job(account, batch_id="k")
    results = render_to_string("jobs/_job_results.html", {"account": account, "job": done, "rows": rows})
    assert 'href="/zoobot/jobs/k/results/wd/out%20put.json" download' in results
    assert "hx-trigger" not in results
    gone = {"account": account, "job": done, "rows": [], "problem": "The node is gone."}
    assert "The node is gone." in render_to_string("jobs/_job_results.html", gone)


def test_a_silent_azure_is_said_and_stops_nothing(client: Client, viewer: User, account: Account) -> None:
    """The page stays up; the log says why it waits, and when it tries again."""
    account.credential_mode, account.credential = Account.CredentialMode.SHARED_KEY, make_credential()
    account.save()
    make_task(make_job(account, batch_id="j"), batch_id="t")
    client.force_login(viewer)
    log = client.get("/zoobot/jobs/j/tasks/t/log/stdout.txt/?offset=5")
    assert log.status_code == 503
    assert int(log["Retry-After"]) >= 1
    assert "CredentialUnavailable" in log.content.decode()
    listing = client.get("/zoobot/jobs/j/tasks/t/files/", headers=PART)
    assert listing.status_code == 200
    assert "CredentialUnavailable" in listing.content.decode()
    assert client.get("/zoobot/jobs/j/tasks/t/files/stdout.txt").status_code == 503
    assert client.get("/zoobot/jobs/j/").status_code == 200


def test_nothing_is_asked_about_a_job_that_has_ended(
    client: Client, operator: User, account: Account
) -> None:
    """The page of its end leads back and says so."""
    job = make_finished_job(account)
    client.force_login(operator)
    response = client.get(f"/zoobot/jobs/{job.batch_id}/terminate/", follow=True)
    assert response.redirect_chain == [(f"/zoobot/jobs/{job.batch_id}/", 302)]
    assert "has ended already" in response.content.decode()


def test_a_job_that_stays_open_does_not_pretend_to_run(account: Account) -> None:
    """One made elsewhere without an end of its own: its tasks are over, and nothing will close it."""
    over = {"tasks_active": 0, "tasks_succeeded": 1, "start_time": timezone.now(), "is_ours": False}
    assert make_job(account, on_all_tasks_complete="noaction", **over).badge.word == "Open"
    assert make_job(account, on_all_tasks_complete="terminatejob", **over).badge.word == "Running"


@pytest.mark.parametrize("cursor", ["9999-12-31T23:59:59-23:00~1", "0001-01-01T00:00:00%2B23:59~1"])
def test_a_cursor_beyond_all_time_shows_the_first_page(
    client: Client, viewer: User, account: Account, cursor: str
) -> None:
    """Not an error page."""
    client.force_login(viewer)
    assert client.get(f"/zoobot/jobs/?after={cursor}").status_code == 200


@pytest.mark.parametrize("value", ["9" * 5000, '{"lower_left_x": %s}' % ("9" * 400)])
def test_a_number_beyond_all_measure_is_answered_at_its_field(
    client: Client, submitter: User, account: Account, value: str
) -> None:
    """In the preview as in the form."""
    operations.install_definitions()
    make_pool(account)
    client.force_login(submitter)
    response = client.post("/zoobot/jobs/new/zoobot-training/preview/", {"p_fixed_crop": value}, headers=PART)
    assert response.status_code == 200
