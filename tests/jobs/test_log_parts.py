"""Parts of logs, read from the local Azure: where they begin and end, what they hide, and what is no part at all."""

from base64 import b64encode
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from azure.batch import BatchClient
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.test import Client

from activity import vault
from activity.models import Account, Credential
from jobs import log_parts, logs
from jobs.models import Job
from tests.emulator.batch import connect, finished, make_job, make_pool, make_task, output
from tests.local import connect_account
from tests.make import make_job as make_job_row
from tests.make import make_task as make_task_row

pytestmark = pytest.mark.django_db
SECRET = b"hunter22\nand more"
PART = 64
LINES = b"".join(b"line %03d\n" % number for number in range(40))
Ask = Callable[..., HttpResponse]
Write = Callable[..., Ask]


@pytest.fixture(scope="module")
def azure(emulator: dict[str, Any]) -> Iterator[BatchClient]:
    """Return Microsoft's client."""
    with connect(emulator) as client:
        yield client


@pytest.fixture(scope="module")
def real_job(azure: BatchClient) -> str:
    """Return the id of a job on a pool with a node."""
    return make_job(azure, make_pool(azure))


@pytest.fixture
def job(live: Account, real_job: str, monkeypatch: pytest.MonkeyPatch) -> Job:
    """Return that job, whose tasks know a secret; parts are small."""
    monkeypatch.setattr(logs, "_closed_until", {})
    monkeypatch.setattr(log_parts, "PART", PART)
    credential = Credential(name="TOKEN")
    vault.seal(credential, SECRET.decode())
    credential.save()
    return make_job_row(live, batch_id=real_job, plan={"common_environment": [{"secret": "TOKEN"}]})


@pytest.fixture
def write(client: Client, viewer: User, job: Job, azure: BatchClient) -> Write:
    """Let a task write bytes; what is returned asks for parts of its log."""

    def run(content: bytes, *, state: str = "completed") -> Ask:
        packed = b64encode(content).decode()
        task = make_task(azure, job.batch_id, f"/bin/sh -c 'echo {packed} | base64 -d'")
        finished(azure, job.batch_id, task)
        make_task_row(job, batch_id=task, state=state)
        client.force_login(viewer)
        address = f"/live/jobs/{job.batch_id}/tasks/{task}/log/stdout.txt/"
        return lambda **query: client.get(address, query)

    return run


def span(answer: HttpResponse) -> tuple[int, int]:
    """Return where a part begins and where the next one does."""
    return int(answer["X-Log-Start"]), int(answer["X-Log-Offset"])


def test_a_short_log_is_whole_however_it_is_asked_for(write: Write) -> None:
    """Its size is told, and that nothing more is there at once."""
    ask = write(b"one\ntwo\n")
    for query in ({}, {"offset": 0}, {"tail": 100}, {"before": 8}):
        answer = ask(**query)
        assert (answer.content, span(answer)) == (b"one\ntwo\n", (0, 8))
        assert (answer["X-Log-Size"], answer["X-Log-More"]) == ("8", "0")


def test_the_end_of_a_long_log_begins_at_a_line(write: Write) -> None:
    """Its parts follow each other without a pause, and together they are the last bytes."""
    ask = write(LINES)
    answer = ask(tail=150)
    begin, offset = span(answer)
    assert begin == 216  # the first line within the last 150 of 360 bytes
    assert (answer["X-Log-Size"], answer["X-Log-More"]) == ("360", "1")
    text = answer.content
    while answer["X-Log-More"] == "1":
        answer = ask(offset=offset)
        text += answer.content
        offset = span(answer)[1]
    assert text == LINES[begin:]
    last = ask(offset=offset)
    assert (last.status_code, last["X-Log-End"]) == (204, "1")


def test_earlier_parts_lead_back_to_the_beginning(write: Write) -> None:
    """Each ends where the one after it begins."""
    ask = write(LINES)
    text, begin = b"", len(LINES)
    while begin:
        answer = ask(before=begin)
        start, end = span(answer)
        assert end == begin
        assert len(answer.content) <= PART
        assert start == 0 or LINES[start - 1 : start] == b"\n"
        text, begin = answer.content + text, start
    assert text == LINES
    assert ask(before=0).status_code == 204


@pytest.mark.parametrize("count", range(60, 76))
def test_without_a_line_near_a_part_begins_at_a_character(write: Write, count: int) -> None:
    """Of one byte or of four."""
    text = "aé€😀" * 20
    answer = write(text.encode())(before=count)
    start, end = span(answer)
    assert end == count
    assert answer.content.decode(errors="ignore")
    assert answer.content[0] & 0xC0 != 0x80
    assert start - max(0, count - PART) < 4
    assert text.encode()[start:end] == answer.content


def test_no_part_shows_any_of_a_secret(write: Write) -> None:
    """Wherever it begins or ends, it is what a whole log without secrets has there."""
    content = b"a\n" * 30 + SECRET + b"b\n" * 20 + SECRET + SECRET + b"\nend hunt"
    ask = write(content)
    hidden = logs.masked(content, [SECRET])
    for way in log_parts.WAYS:
        for count in range(0, len(content) + 2, 3):
            answer = ask(**{way: count})
            start, end = span(answer)
            assert answer.content == hidden[start:end], (way, count)


@pytest.mark.parametrize("way", log_parts.WAYS)
def test_what_may_become_a_secret_waits(write: Write, way: str) -> None:
    """The beginning of one at the end of a log that still grows."""
    content = b"password hunt"
    answer = write(content, state="running")(**{way: 0 if way == "offset" else len(content)})
    assert answer.content == b"password "
    assert (answer["X-Log-Offset"], answer["X-Log-More"], answer["X-Log-End"]) == ("9", "0", "0")


def test_nothing_is_there_beyond_the_end(write: Write) -> None:
    """Not an error: a log may have been begun anew by another try."""
    ask = write(b"short\n")
    for query in ({"offset": 10**14}, {"before": 10**14}, {"tail": 0}):
        answer = ask(**query)
        assert (answer.status_code, answer.content) == (204, b"")


def test_an_empty_log_has_no_end_to_begin_at(write: Write) -> None:
    """It is just empty."""
    answer = write(b"")(tail=1000)
    assert (answer.status_code, span(answer), answer["X-Log-Size"]) == (204, (0, 0), "0")


@pytest.mark.parametrize("value", ["", "-1", "1.5", "0x10", "many", "1e3", "٣", "9" * 16, " 1"])
def test_rubbish_is_refused_in_words(client: Client, viewer: User, account: Account, value: str) -> None:
    """Before Azure is asked."""
    make_task_row(make_job_row(account, batch_id="j"), batch_id="t")
    client.force_login(viewer)
    for way in log_parts.WAYS:
        answer = client.get("/zoobot/jobs/j/tasks/t/log/stdout.txt/", {way: value})
        assert (answer.status_code, answer["Content-Type"]) == (400, "text/plain; charset=utf-8")
        assert answer.content.decode().startswith(f"{way} is a whole number of bytes")
    answer = client.get("/zoobot/jobs/j/tasks/t/log/stdout.txt/", {"tail": "1", "before": "2"})
    assert (answer.status_code, b"one of" in answer.content) == (400, True)


def test_a_copy_in_storage_has_the_same_parts(
    emulator: dict[str, Any],
    settings: Any,
    client: Client,
    viewer: User,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """When the node is gone."""
    monkeypatch.setattr(log_parts, "PART", PART)
    account = connect_account(emulator, settings)
    storage = account.storage_accounts.get()
    path = "task_logs/kept_stdout.txt"
    log_parts.storage_of(storage).ensure_container("training")
    log_parts.storage_of(storage).upload("training", path, LINES)
    outputs = [{"pattern": "../stdout.txt", "container": "training", "path": path}]
    plan = {"tasks": [{"id": "t", "output_files": outputs}]}
    row = make_job_row(account, batch_id="gone-job", plan=plan, storage=storage)
    make_task_row(row, batch_id="t", state="completed")
    client.force_login(viewer)
    address = f"/{account.slug}/jobs/gone-job/tasks/t/log/stdout.txt/"
    answer = client.get(address, {"tail": "150"})
    assert (answer["X-Log-Source"], answer["X-Log-Size"], span(answer)[0]) == ("storage", "360", 216)
    assert client.get(address, {"before": "216"}).content == LINES[153:216]
    assert client.get(address, {"offset": "351"}).content == LINES[351:]


def test_the_log_of_a_preparation_has_parts_too(
    client: Client, viewer: User, job: Job, azure: BatchClient, write: Write
) -> None:
    """It is read as a file of the node."""
    write(LINES)
    task = job.tasks.get().batch_id
    found = azure.get_task(job.batch_id, task)
    assert output(azure, job.batch_id, task) == LINES
    info = found.node_info
    assert info is not None
    job.preparations.create(
        pool_id=info.pool_id,
        node_id=info.node_id,
        task_root_directory=info.task_root_directory,
        synced_hash="seen",
        state="completed",
    )
    address = f"/live/jobs/{job.batch_id}/preparation/{info.node_id}/log/stdout.txt/"
    answer = client.get(address, {"tail": "150"})
    assert (answer["X-Log-Size"], span(answer)[0]) == ("360", 216)
