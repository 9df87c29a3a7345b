"""Files of tasks and nodes: what is asked for, and what a task has put there to lead elsewhere."""

import shlex
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
import requests
from azure.batch import BatchClient

from tests.emulator.batch import finished, make_job, make_pool, make_task
from tests.emulator.conftest import Ask

COMMANDS = """
import os
from pathlib import Path
Path("folder/deep").mkdir(parents=True)
Path("folder/deep/file.txt").write_text("deep")
Path("plain.txt").write_text("0123456789")
os.symlink("../plain.txt", "folder/inside")
os.symlink("folder", "inside-folder")
os.symlink(Path.cwd().parent.parent / "secret", "outside")
os.symlink("/", "root")
os.symlink("nowhere", "dangling")
os.symlink("loop", "loop")
os.mkfifo("pipe")
Path(os.fsdecode(b"not-utf8-\\xff")).write_text("x")
os.symlink(os.fsdecode(b"not-utf8-\\xff"), "to-not-utf8")
os.mkdir("empty")
"""


class Files:
    """The files of a finished task, and of its node."""

    def __init__(self, ask: Ask, job: str, task: str, pool: str, node: str) -> None:
        self.ask = ask
        self.of_task = f"/jobs/{job}/tasks/{task}/files"
        self.of_node = f"/pools/{pool}/nodes/{node}/files"
        self.below_node = f"workitems/{job}/job-1/{task}"

    def __call__(self, method: str, name: str, **more: Any) -> requests.Response:
        return self.ask(method, f"{self.of_task}/{name.replace('/', '%2F')}", **more)

    def names(self, **query: str) -> list[str]:
        return [each["name"] for each in self.entries(**query)]

    def entries(self, **query: str) -> list[dict[str, Any]]:
        answer = self.ask("GET", self.of_task, query={"recursive": "true", **query})
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["value"]
        return found


@pytest.fixture(scope="module")
def files(module_client: BatchClient, module_ask: Ask, emulator: dict[str, Any]) -> Files:
    pool = make_pool(module_client)
    job = make_job(module_client, pool)
    task = make_task(module_client, job, shlex.join(["python", "-c", COMMANDS]))
    info = finished(module_client, job, task)
    assert info.execution_info.exit_code == 0
    node = info.node_info.node_id
    root = next((Path(emulator["ca"]).parent / "nodes").glob(f"*/{pool}/{node}"))
    (root / "workitems" / job / "secret").write_text("of another task")
    return Files(module_ask, job, task, pool, node)


def code(answer: requests.Response) -> tuple[int, str]:
    return answer.status_code, str(answer.json()["code"])


def test_listing_has_what_lies_in_the_folder_and_no_more(files: Files) -> None:
    assert files.names() == [
        "stderr.txt",
        "stdout.txt",
        "wd",
        "wd/empty",
        "wd/folder",
        "wd/inside-folder",
        "wd/plain.txt",
        "wd/to-not-utf8",
        "wd/folder/deep",
        "wd/folder/inside",
        "wd/folder/deep/file.txt",
    ]
    kinds = {each["name"]: each for each in files.entries()}
    assert kinds["wd/inside-folder"]["isDirectory"] is True
    inside = kinds["wd/folder/inside"]
    assert (inside["isDirectory"], inside["properties"]["contentLength"]) == (False, "10")


def test_links_are_followed_within_the_folder(files: Files) -> None:
    assert files("GET", "wd/folder/inside").text == "0123456789"
    assert files("GET", "wd/inside-folder/deep/file.txt").text == "deep"
    assert files("HEAD", "wd/folder/inside").headers["Content-Length"] == "10"
    assert files("GET", "wd/to-not-utf8").headers["ocp-batch-file-url"].endswith("%2Fwd%2Fnot-utf8-%FF")


@pytest.mark.parametrize(
    "name",
    [
        "wd/outside",
        "wd/root",
        "wd/root/etc/passwd",
        "wd/dangling",
        "wd/loop",
        "wd/loop/x",
        "wd/pipe",
        "wd/plain.txt/x",
        "..%2Fsecret",
        "wd/../../secret",
        "/etc/passwd",
        "wd\\..\\..\\secret",
        "a" * 300,
        "a/" * 3000,
        "none",
    ],
)
def test_nothing_beyond_the_folder_is_there(files: Files, name: str) -> None:
    for method in ("GET", "DELETE"):
        assert code(files(method, name)) == (404, "FileNotFound")
    assert files("HEAD", name).status_code == 404


@pytest.mark.parametrize("name", ["%00", "a%00b", "%ff", "wd%2Fnot-utf8-%ff", "%ed%a0%80"])
def test_names_that_are_no_text_are_no_address(files: Files, name: str) -> None:
    for base in (files.of_task, files.of_node):
        for method in ("GET", "DELETE"):
            assert code(files.ask(method, f"{base}/{name}")) == (400, "InvalidUri")
        assert files.ask("HEAD", f"{base}/{name}").status_code == 400


@pytest.mark.parametrize("name", ["%", "%zz", "%%%"])
def test_percent_signs_that_encode_nothing_stand_for_themselves(files: Files, name: str) -> None:
    assert code(files("GET", name)) == (404, "FileNotFound")


def test_directory_has_properties_but_no_content(files: Files) -> None:
    for name in ("wd", "wd/", "wd/folder", "wd/inside-folder", "wd/.."):
        head = files("HEAD", name)
        assert (head.status_code, head.headers["ocp-batch-file-isdirectory"]) == (200, "True")
        answer = files("GET", name)
        assert code(answer) == (404, "FileNotFound")
        assert answer.json()["values"] == [{"key": "Reason", "value": "The path is a directory"}]


def test_directory_of_a_task_is_not_followed_away_from_its_node(
    module_client: BatchClient, ask: Ask, files: Files, emulator: dict[str, Any]
) -> None:
    pool = files.of_node.split("/")[2]
    job = make_job(module_client, pool)
    task = make_task(
        module_client,
        job,
        "/bin/sh -c 'cd ../.. && mv $AZ_BATCH_TASK_ID away && ln -s /etc $AZ_BATCH_TASK_ID'",
    )
    finished(module_client, job, task)
    assert code(ask("GET", f"/jobs/{job}/tasks/{task}/files")) == (409, "TaskFilesUnavailable")
    assert code(ask("GET", f"/jobs/{job}/tasks/{task}/files/passwd")) == (409, "TaskFilesUnavailable")
    names = [each["name"] for each in ask("GET", files.of_node, query={"recursive": "true"}).json()["value"]]
    assert f"workitems/{job}/job-1/{task}" not in names
    assert f"workitems/{job}/job-1/away" in names


@pytest.mark.parametrize(
    ("asked", "status", "content"),
    [
        ("bytes=0-3", 200, b"0123"),
        ("bytes=7-", 200, b"789"),
        ("bytes=7-99999999999999999", 200, b"789"),
        ("bytes=9999999999999-", 416, None),
        ("bytes=3-2", 416, None),
        ("bytes=" + "9" * 5000 + "-", 400, None),
        ("bytes=0-" + "9" * 5000, 400, None),
        ("bytes=-5", 400, None),
        ("bytes=0-1,3-4", 400, None),
        ("bytes=²-", 400, None),
        ("rubbish", 400, None),
        ("", 400, None),
    ],
)
def test_ranges(files: Files, asked: str, status: int, content: bytes | None) -> None:
    answer = files("GET", "wd/plain.txt", headers={"ocp-range": asked})
    assert answer.status_code == status
    if content is not None:
        assert answer.content == content
    else:
        assert answer.json()["code"] == {400: "InvalidHeaderValue", 416: "InvalidRange"}[status]
        assert {"key": "HeaderName", "value": "ocp-range"} in answer.json()["values"]


def test_conditions(files: Files) -> None:
    past, future = (
        format_datetime(datetime.now(UTC) + timedelta(days=days), usegmt=True) for days in (-1, 1)
    )
    for name in ("wd/plain.txt", "wd/folder/inside"):
        assert files("GET", name, headers={"If-Modified-Since": past}).status_code == 200
        assert files("GET", name, headers={"If-Modified-Since": future}).status_code == 304
        assert code(files("GET", name, headers={"If-Unmodified-Since": past})) == (412, "ConditionNotMet")
        assert files("GET", name, headers={"If-Unmodified-Since": future}).status_code == 200


def test_removal_takes_the_link_and_leaves_what_it_leads_to(
    module_client: BatchClient, ask: Ask, files: Files
) -> None:
    pool = files.of_node.split("/")[2]
    job = make_job(module_client, pool)
    task = make_task(
        module_client,
        job,
        "/bin/sh -c 'mkdir -p d/e && echo kept > d/e/f && ln -s d/e/f link && ln -s d folder && ln -s / d/out'",
    )
    finished(module_client, job, task)
    own = Files(ask, job, task, pool, files.of_node.split("/")[4])
    assert own("DELETE", "wd/link").status_code == 200
    assert own("DELETE", "wd/folder", query={"recursive": "true"}).status_code == 200
    assert own("GET", "wd/d/e/f").text == "kept\n"
    assert code(own("DELETE", "wd/d")) == (409, "OperationInvalidForCurrentState")
    for name in (".", "wd/..", "wd/d/..", ""):
        assert own("DELETE", name, query={"recursive": "true"}).status_code in (404, 405)
    assert own("DELETE", "wd/d", query={"recursive": "true"}).status_code == 200
    assert own.names() == ["stderr.txt", "stdout.txt", "wd"]
    assert own("DELETE", "stdout.txt").status_code == 200
    assert own.names() == ["stderr.txt", "wd"]
