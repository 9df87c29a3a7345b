"""Node operations of the data plane."""

from typing import TYPE_CHECKING, Any

from emulator.batch import defaults, pools
from emulator.batch.engine import nodes as engine
from emulator.batch.http import Answer, Listing, Request, list_items, metadata, operation, select
from emulator.batch.tables import Item
from emulator.errors import BatchError

if TYPE_CHECKING:
    from emulator.batch.state import BatchState

PROPERTIES = frozenset(
    [
        "id",
        "state",
        "stateTransitionTime",
        "schedulingState",
        "lastBootTime",
        "allocationTime",
        "startTaskInfo/state",
        "startTaskInfo/result",
        "startTaskInfo/exitCode",
        "startTaskInfo/startTime",
        "startTaskInfo/endTime",
    ]
)
REFUSALS = {
    "creating": "NodeBeingCreated",
    "starting": "NodeBeingStarted",
    "rebooting": "NodeBeingRebooted",
    "reimaging": "NodeBeingReimaged",
}


def url_of(request: Request, pool: str, node: str) -> str:
    """Return the address of a node."""
    return f"{request.base_url}/pools/{pool}/nodes/{node}"


def _renderer(pool: Item) -> Any:
    def render(request: Request, node: Item) -> dict[str, Any]:
        doc = {"id": node.id, "url": url_of(request, pool.id, node.id), **node.doc}
        if "recentTasks" in doc:
            base = request.base_url
            doc["recentTasks"] = [
                {"taskUrl": f"{base}/jobs/{entry['jobId']}/tasks/{entry['taskId']}", **entry}
                for entry in doc["recentTasks"]
            ]
        return doc

    return render


def find(state: "BatchState", request: Request, pool: Item) -> Item:
    """Return the node that the path names."""
    node = state.tables.get("node", request.account, request.parameters["node"], pool.key)
    if node is None:
        raise BatchError("NodeNotFound")
    return node


def _list(state: "BatchState", request: Request) -> Answer:
    pool = pools.find(state, request)
    return list_items(state, request, Listing("node", "nodes", _renderer(pool), PROPERTIES), pool.key)


def _get(state: "BatchState", request: Request) -> Answer:
    pool = pools.find(state, request)
    node = find(state, request, pool)
    doc = select(request, _renderer(pool)(request, node))
    return Answer(200, {"odata.metadata": metadata(request, "nodes/@Element"), **doc})


def _acted(request: Request, status: int) -> Answer:
    return Answer(status, headers={"DataServiceId": f"{request.base_url}{request.path}"})


def _restart(state: "BatchState", request: Request, target: str, member: str) -> Answer:
    body = request.body("NodeAction", required=False)
    defaults.one_of(body, member, *pools.OPTIONS)
    with state.store.transaction():
        pool = pools.find(state, request)
        node = find(state, request, pool)
        _check_restart(node)
        option = str(body.get(member, "requeue")).lower()
        engine.restart(state.engine, node, target, option, request.now)
        state.tables.put(node)
    state.engine.kick()
    return _acted(request, 202)


def _check_restart(node: Item) -> None:
    """A node that has come up or failed to can be restarted, one on its way cannot."""
    if node.state in ("idle", "running", "offline", "unusable", "starttaskfailed"):
        return
    raise BatchError(REFUSALS.get(node.state, "OperationInvalidForCurrentState"))


def _reboot(state: "BatchState", request: Request) -> Answer:
    return _restart(state, request, "rebooting", "nodeRebootOption")


def _reimage(state: "BatchState", request: Request) -> Answer:
    return _restart(state, request, "reimaging", "nodeReimageOption")


def _disable_scheduling(state: "BatchState", request: Request) -> Answer:
    body = request.body("NodeAction", required=False)
    defaults.one_of(body, "nodeDisableSchedulingOption", "requeue", "terminate", "taskcompletion")
    option = str(body.get("nodeDisableSchedulingOption", "requeue")).lower()
    return _set_scheduling(state, request, "disabled", option)


def _enable_scheduling(state: "BatchState", request: Request) -> Answer:
    return _set_scheduling(state, request, "enabled", "taskcompletion")


def _set_scheduling(state: "BatchState", request: Request, target: str, option: str) -> Answer:
    with state.store.transaction():
        pool = pools.find(state, request)
        node = find(state, request, pool)
        if node.doc["schedulingState"] == target:
            raise BatchError("NodeAlreadyInTargetSchedulingState")
        node.doc["schedulingState"] = target
        engine.release(state.engine, node, option, request.now)
        state.tables.put(node)
        engine.settle(state.engine, node.account, pool.key, node.key)
    state.engine.kick()
    return _acted(request, 200)


OPERATIONS = (
    operation("GET", "/pools/{pool}/nodes", _list),
    operation("GET", "/pools/{pool}/nodes/{node}", _get),
    operation("POST", "/pools/{pool}/nodes/{node}/reboot", _reboot),
    operation("POST", "/pools/{pool}/nodes/{node}/reimage", _reimage),
    operation("POST", "/pools/{pool}/nodes/{node}/disablescheduling", _disable_scheduling),
    operation("POST", "/pools/{pool}/nodes/{node}/enablescheduling", _enable_scheduling),
)
