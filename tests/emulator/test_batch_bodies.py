"""Bodies that no client of Microsoft's would send: other types, other depths, other numbers; each is refused as such."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.emulator.batch import fresh
from tests.emulator.conftest import Ask

Body = dict[str, Any]
Steps = tuple[str | int, ...]

PUBLISHED: dict[str, Body] = json.loads((Path(__file__).parent / "published" / "requests.json").read_text())
# By what the names of the examples begin with.
PATHS = {
    "Pools_CreatePool": ("POST", "/pools"),
    "Pools_UpdatePool": ("PATCH", "/pools/{pool}"),
    "Pools_ReplacePoolProperties": ("POST", "/pools/{pool}/updateproperties"),
    "Pools_ResizePool": ("POST", "/pools/{pool}/resize"),
    "Pools_RemoveNodes": ("POST", "/pools/{pool}/removenodes"),
    "Pools_EnablePoolAutoscale": ("POST", "/pools/{pool}/enableautoscale"),
    "Pools_EvaluatePoolAutoscale": ("POST", "/pools/{pool}/evaluateautoscale"),
    "Nodes_RebootNode": ("POST", "/pools/{pool}/nodes/none/reboot"),
    "Nodes_NodeReimage": ("POST", "/pools/{pool}/nodes/none/reimage"),
    "Nodes_DisableNodeScheduling": ("POST", "/pools/{pool}/nodes/none/disablescheduling"),
    "Jobs_CreateJob": ("POST", "/jobs"),
    "Jobs_UpdateJob": ("PATCH", "/jobs/{job}"),
    "Jobs_ReplaceJob": ("PUT", "/jobs/{job}"),
    "Jobs_DisableJob": ("POST", "/jobs/{job}/disable"),
    "Jobs_TerminateJob": ("POST", "/jobs/{job}/terminate"),
    "Tasks_CreateTask": ("POST", "/jobs/{job}/tasks"),
    "Tasks_CreateTaskCollection": ("POST", "/jobs/{job}/addtaskcollection"),
    "Tasks_ReplaceTask": ("PUT", "/jobs/{job}/tasks/{task}"),
}
VALUES: tuple[Any, ...] = (
    None,
    True,
    7,
    -1,
    10**30,
    1.5,
    "",
    "text",
    [],
    [7],
    ["text"],
    [[]],
    {},
    {"a": 7},
    [{}],
)
# What the service itself writes into its objects, sent by a client.
WRITTEN = (
    "state",
    "executionInfo",
    "nodeInfo",
    "allocationState",
    "currentDedicatedNodes",
    "url",
    "eTag",
    "stats",
)
MACHINE = {
    "imageReference": {"publisher": "canonical", "offer": "ubuntu-24_04-lts", "sku": "server"},
    "nodeAgentSKUId": "batch.node.ubuntu 24.04",
}


class Targets:
    """A pool, a job that acts on dependencies and exits, and a task: made anew when a test has spoilt them."""

    def __init__(self, ask: Ask) -> None:
        self.ask = ask
        self.pool, self.job, self.task = fresh("pool"), fresh("job"), fresh("task")

    def ready(self) -> dict[str, str]:
        """Return the ids that paths need."""
        if self._has_gone(f"/pools/{self.pool}"):
            self.pool = fresh("pool")
            self.ask("POST", "/pools", json=pool_body(self.pool))
        if self._has_gone(f"/jobs/{self.job}"):
            self.job = fresh("job")
            self.ask("POST", "/jobs", json=job_body(self.job))
        if self._has_gone(f"/jobs/{self.job}/tasks/{self.task}"):
            self.ask("POST", f"/jobs/{self.job}/tasks", json={"id": self.task, "commandLine": "true"})
        return {"pool": self.pool, "job": self.job, "task": self.task}

    def _has_gone(self, path: str) -> bool:
        answer = self.ask("GET", path)
        return answer.status_code == 404 or answer.json().get("state") not in ("active", None)


def pool_body(name: str, **more: Any) -> Body:
    return {"id": name, "vmSize": "standard_d2s_v3", "virtualMachineConfiguration": MACHINE, **more}


def job_body(name: str, **more: Any) -> Body:
    more = {"usesTaskDependencies": True, "onTaskFailure": "performexitoptionsjobaction", **more}
    return {"id": name, "poolInfo": {"poolId": fresh("nopool")}, **more}


def address(example: str) -> tuple[str, str]:
    """Return the method and the path, with gaps for ids, of a published example."""
    return PATHS["_".join(example.split("_")[:2])]


def named(body: Body) -> Body:
    """Return the body of something new with an id of its own."""
    return {**body, "id": fresh()} if "id" in body else body


def reason(answer: requests.Response) -> str:
    return next(str(pair["value"]) for pair in answer.json()["values"] if pair["key"] == "Reason")


def members(value: Any, steps: Steps = ()) -> Iterator[Steps]:
    """Yield the way to each member and element of a body."""
    if steps:
        yield steps
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from members(inner, (*steps, key))


def replaced(value: Any, steps: Steps, other: Any) -> Any:
    """Return the body with one of its members replaced."""
    if not steps:
        return other
    copied = dict(value) if isinstance(value, dict) else list(value)
    copied[steps[0]] = replaced(value[steps[0]], steps[1:], other)
    return copied


@st.composite
def faults(draw: st.DrawFn) -> tuple[str, Body]:
    """Draw a published body with one member of another type, or with one more that is the service's to write."""
    name = draw(st.sampled_from(sorted(PUBLISHED)))
    body = named(PUBLISHED[name])
    steps = draw(st.sampled_from(list(members(body))) | st.sampled_from([(name,) for name in WRITTEN]))
    other = draw(st.sampled_from(VALUES))
    if len(steps) == 1 and steps[0] not in body:
        return name, {**body, steps[0]: other}
    return name, replaced(body, steps, other)


@pytest.fixture(scope="module")
def targets(module_ask: Ask) -> Iterator[Targets]:
    found = Targets(module_ask)
    yield found
    module_ask("DELETE", f"/pools/{found.pool}")
    module_ask("DELETE", f"/jobs/{found.job}")


@given(fault=faults())
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_member_of_another_type_is_a_fault_of_the_service(
    targets: Targets, fault: tuple[str, Body]
) -> None:
    example, body = fault
    names = targets.ready()
    method, path = address(example)
    answer = targets.ask(method, path.format(**names), json=body)
    assert answer.status_code != 500, answer.text
    made = answer.headers.get("Location")
    if made:
        assert targets.ask("GET", "/" + made.split("/", 3)[3]).status_code == 200
    for listing in ("/pools", "/jobs", "/nodecounts", f"/jobs/{names['job']}/tasks"):
        assert targets.ask("GET", listing).status_code == 200
    if made:
        assert targets.ask("DELETE", "/" + made.split("/", 3)[3]).status_code in (200, 202)


def test_published_bodies_are_taken_for_what_they_are(targets: Targets) -> None:
    for example, body in PUBLISHED.items():
        method, path = address(example)
        answer = targets.ask(method, path.format(**targets.ready()), json=named(body))
        if answer.status_code == 400:
            # Networks and reserved images of another subscription are refused on the service too.
            assert answer.json()["code"] == "InvalidPropertyValue", answer.text
        if "Location" in answer.headers:
            targets.ask("DELETE", "/" + answer.headers["Location"].split("/", 3)[3])


@pytest.mark.parametrize(
    ("path", "body", "told"),
    [
        ("/jobs", job_body("x", poolInfo=[]), "'StartArray' node was found for property named 'poolInfo'"),
        ("/jobs", job_body("x", poolInfo="p"), "'PrimitiveValue' node was found for property named 'poolInfo'"),
        ("/jobs", job_body("x", metadata={}), "'StartObject' node was found for property named 'metadata'"),
        ("/jobs", job_body("x", metadata=[7]), "property named 'metadata'"),
        ("/jobs", job_body("x", metadata=[{"name": "a", "value": 7}]), "type 'Edm.String' for property named 'metadata.value'"),
        ("/jobs", job_body("x", priority="7"), "type 'Edm.Int32' for property named 'priority'"),
        ("/jobs", job_body("x", priority=10**30), "type 'Edm.Int32' for property named 'priority'"),
        ("/jobs", job_body("x", priority=2**31), "type 'Edm.Int32' for property named 'priority'"),
        ("/jobs", job_body("x", usesTaskDependencies=1), "type 'Edm.Boolean' for property named 'usesTaskDependencies'"),
        ("/jobs", job_body("x", constraints="PT1H"), "property named 'constraints'"),
        ("/pools", pool_body("x", mountConfiguration={}), "property named 'mountConfiguration'"),
        ("/pools", pool_body("x", taskSchedulingPolicy="pack"), "property named 'taskSchedulingPolicy'"),
        ("/pools", pool_body("x", startTask=[{}]), "property named 'startTask'"),
    ],
)  # fmt: skip
def test_type_of_a_member_is_told(ask: Ask, path: str, body: Body, told: str) -> None:
    answer = ask("POST", path, json=body)
    assert (answer.status_code, answer.json()["code"]) == (400, "InvalidRequestBody")
    assert told in reason(answer)


def test_type_fault_in_one_task_refuses_the_collection(targets: Targets) -> None:
    job = targets.ready()["job"]
    good, bad = {"id": fresh(), "commandLine": "true"}, {"id": fresh(), "commandLine": 7}
    answer = targets.ask("POST", f"/jobs/{job}/addtaskcollection", json={"value": [good, bad]})
    assert (answer.status_code, answer.json()["code"]) == (400, "InvalidRequestBody")
    assert targets.ask("GET", f"/jobs/{job}/tasks/{good['id']}").status_code == 404


@pytest.mark.parametrize(
    ("more", "name"),
    [
        ({"environmentSettings": [{"value": "x"}]}, "environmentSettings.name"),
        ({"exitConditions": {"exitCodes": [{"exitOptions": {}}]}}, "exitConditions.exitCodes.code"),
        ({"exitConditions": {"exitCodes": [{"code": 1}]}}, "exitConditions.exitCodes.exitOptions"),
        ({"dependsOn": {"taskIdRanges": [{"start": 1}]}}, "dependsOn.taskIdRanges.end"),
        ({"outputFiles": [{"filePattern": "*"}]}, "outputFiles.destination"),
        ({"containerSettings": {}}, "containerSettings.imageName"),
    ],
)
def test_member_that_is_missing_deep_inside_is_named(targets: Targets, more: Body, name: str) -> None:
    path = f"/jobs/{targets.ready()['job']}"
    body = {"id": fresh(), "commandLine": "true", **more}
    answer = targets.ask("POST", f"{path}/tasks", json=body)
    assert (answer.status_code, answer.json()["code"]) == (400, "MissingRequiredProperty")
    assert answer.json()["values"] == [{"key": "PropertyName", "value": name}]
    (result,) = targets.ask("POST", f"{path}/addtaskcollection", json={"value": [body]}).json()["value"]
    assert (result["status"], result["error"]["code"]) == ("clienterror", "MissingRequiredProperty")


@pytest.mark.parametrize(
    "mount", [{}, {"other": {}}, {"nfsMountConfiguration": {}, "cifsMountConfiguration": {}}]
)
def test_mount_is_of_one_kind(ask: Ask, mount: Body) -> None:
    answer = ask("POST", "/pools", json=pool_body(fresh(), mountConfiguration=[mount]))
    assert answer.status_code == 400
    assert answer.json()["code"] in ("InvalidPropertyValue", "MissingRequiredProperty")


def test_members_that_the_service_writes_are_not_taken_from_clients(targets: Targets) -> None:
    name, job = fresh(), targets.ready()["job"]
    sent = dict.fromkeys(WRITTEN, "nonsense")
    assert targets.ask("POST", f"/jobs/{job}/tasks", json={"id": name, "commandLine": "true", **sent}).ok
    found = targets.ask("GET", f"/jobs/{job}/tasks/{name}").json()
    assert "nonsense" not in found.values()
    spec = {**pool_body("other"), "targetDedicatedNodes": 0, **sent}
    automatic = {"poolLifetimeOption": "job", "pool": spec}
    body = job_body(fresh("auto"), poolInfo={"autoPoolSpecification": automatic}, **sent)
    assert targets.ask("POST", "/jobs", json=body).status_code == 201
    pool = targets.ask("GET", f"/jobs/{body['id']}").json()["executionInfo"]["poolId"]
    assert targets.ask("GET", f"/pools/{pool}").json()["id"] == pool
    assert targets.ask("DELETE", f"/jobs/{body['id']}").status_code == 202


@pytest.mark.parametrize("prefix", ["../", "a/b", "a" * 21, "\0"])
def test_prefix_of_an_automatic_pool_is_part_of_an_id(ask: Ask, prefix: str) -> None:
    automatic = {"autoPoolIdPrefix": prefix, "poolLifetimeOption": "job", "pool": pool_body("none")}
    answer = ask("POST", "/jobs", json=job_body(fresh(), poolInfo={"autoPoolSpecification": automatic}))
    assert (answer.status_code, answer.json()["code"]) == (400, "InvalidPropertyValue")


def deep(levels: int) -> bytes:
    return b'{"a":' * levels + b"7" + b"}" * levels


@pytest.mark.parametrize(
    "content",
    [
        b"null",
        b"[]",
        b"7",
        b'{"id": NaN}',
        b'{"id": Infinity}',
        b'{"id": 1e400, "poolInfo": {"poolId": "p"}}',
        b'{"id": "\\ud800"}',
        b'{"id": "\xff"}',
        b"\xff\xfe{\0}\0",
        b'{"id": "a"',
        deep(101),
        deep(900),
        deep(5000),
        b'{"id": "a", "poolInfo": {"poolId": "p"}, "a": ' + b"[" * 1000 + b"]" * 1000 + b"}",
        b"[" * 100_000,
    ],
    ids=lambda content: f"{content[:12]!r}x{len(content)}",
)
def test_text_that_is_no_body(ask: Ask, content: bytes) -> None:
    for path in ("/pools", "/jobs"):
        answer = ask("POST", path, data=content)
        assert (answer.status_code, answer.json()["code"]) == (400, "InvalidRequestBody")


def test_last_of_two_equal_members_counts(ask: Ask) -> None:
    first, last = fresh(), fresh()
    content = f'{{"id": "{first}", "poolInfo": {{"poolId": "none"}}, "id": "{last}"}}'
    assert ask("POST", "/jobs", data=content).headers["Location"].endswith(f"/jobs/{last}")


@pytest.mark.parametrize(
    "text", ["PT" + "9" * 400 + "S", "PT99999999999999H", "P" + "9" * 400 + "D", "P9000000D"]
)
def test_endless_duration_is_no_limit(ask: Ask, text: str) -> None:
    name = fresh()
    assert (
        ask("POST", "/jobs", json=job_body(name, constraints={"maxWallClockTime": text})).status_code == 201
    )
    found = ask("GET", f"/jobs/{name}").json()
    assert found["constraints"]["maxWallClockTime"] == "P10675199DT2H48M5.4775807S"
    task = {"id": "t", "commandLine": "true", "constraints": {"retentionTime": text}}
    assert ask("POST", f"/jobs/{name}/tasks", json=task).status_code == 201
    assert ask("POST", f"/jobs/{name}/tasks/t/terminate").status_code == 204
    pool = pool_body(fresh(), resizeTimeout=text, targetDedicatedNodes=1)
    assert ask("POST", "/pools", json=pool).status_code == 201
    ask("DELETE", f"/pools/{pool['id']}")
    ask("DELETE", f"/jobs/{name}")
