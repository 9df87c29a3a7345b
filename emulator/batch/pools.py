"""Pool operations of the data plane."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from emulator.batch import defaults, wire
from emulator.batch.engine import nodes as node_engine
from emulator.batch.engine import pools as engine
from emulator.batch.http import (
    Answer,
    Listing,
    Request,
    change_headers,
    check_conditions,
    created,
    is_unchanged,
    list_items,
    metadata,
    operation,
    required,
    show,
)
from emulator.batch.tables import Item, enter, touch
from emulator.errors import BatchError, invalid, missing

if TYPE_CHECKING:
    from emulator.batch.state import BatchState

MOST_REMOVED = 100
LEAST_BETWEEN_ENABLES = timedelta(seconds=30)
OPTIONS = ("requeue", "terminate", "taskcompletion", "retaineddata")
PROPERTIES = frozenset(
    [
        "id",
        "state",
        "allocationState",
        "stateTransitionTime",
        "allocationStateTransitionTime",
        "creationTime",
        "lastModified",
        "enableAutoScale",
        "enableInterNodeCommunication",
        "vmSize",
    ]
)
ANY_TIME = ("startTask", "applicationPackageReferences", "metadata")
ONLY_EMPTY = (
    "displayName",
    "vmSize",
    "enableInterNodeCommunication",
    "virtualMachineConfiguration",
    "taskSlotsPerNode",
    "taskSchedulingPolicy",
    "networkConfiguration",
    "userAccounts",
    "mountConfiguration",
    "upgradePolicy",
)
NOT_EVALUATED = {
    "code": "AutoScalingFormulaEvaluationError",
    "message": "The specified auto-scaling formula has evaluation error",
    "values": [{"name": "Message", "value": "This emulator keeps formulas but does not evaluate them"}],
}


def url_of(request: Request, name: str) -> str:
    """Return the address of a pool."""
    return f"{request.base_url}/pools/{name}"


def render(request: Request, pool: Item) -> dict[str, Any]:
    """Return the pool as the client sees it."""
    return {"id": pool.id, "url": url_of(request, pool.id), **pool.doc}


LISTING = Listing("pool", "pools", render, PROPERTIES)


def make(state: "BatchState", account: str, name: str, body: Mapping[str, Any]) -> Item:
    """Create the pool and begin its first allocation; the caller holds the transaction."""
    if state.tables.get("pool", account, name) is not None:
        raise BatchError("PoolExists")
    public, secrets = defaults.hide(defaults.pool(body))
    now = state.clock.stamp()
    doc = {"id": name, **public, "creationTime": wire.instant(now)}
    pool = Item("pool", account, "", name.lower(), int(now.timestamp() * 1_000_000), "active", doc)
    pool.private["secrets"] = secrets
    enter(pool, "active", now)
    doc["state"], doc["stateTransitionTime"] = "active", wire.instant(now)
    touch(pool, now)
    engine.begin_resize(state.engine, pool, now)
    doc.setdefault("allocationStateTransitionTime", wire.instant(now))
    state.tables.put(pool)
    return pool


def create(state: "BatchState", request: Request) -> Answer:
    """POST /pools."""
    body = request.body("Pool")
    required(body, "id")
    name = wire.check_id(body["id"])
    with state.store.transaction():
        pool = make(state, request.account, name, body)
    state.engine.kick()
    return created(request, pool, url_of(request, name))


def find(state: "BatchState", request: Request) -> Item:
    """Return the pool that the path names."""
    pool = state.tables.get("pool", request.account, request.parameters["pool"])
    if pool is None:
        raise BatchError("PoolNotFound")
    return pool


def find_to_change(state: "BatchState", request: Request, *, steady: bool = False) -> Item:
    """Return the pool if it may be changed now; `steady` refuses one that is being resized."""
    pool = find(state, request)
    check_conditions(request, pool)
    if pool.state == "deleting":
        raise BatchError("PoolBeingDeleted")
    if steady and pool.doc["allocationState"] != "steady":
        raise BatchError("PoolBeingResized")
    return pool


def _list(state: "BatchState", request: Request) -> Answer:
    return list_items(state, request, LISTING)


def _get(state: "BatchState", request: Request) -> Answer:
    return show(request, find(state, request), render, "pools")


def _exists(state: "BatchState", request: Request) -> Answer:
    pool = find(state, request)
    check_conditions(request, pool)
    headers = change_headers(request, pool)
    del headers["DataServiceId"]
    return Answer(304 if is_unchanged(request, pool) else 200, headers=headers)


def _update(state: "BatchState", request: Request) -> Answer:
    body = request.body("Pool")
    with state.store.transaction():
        pool = find_to_change(state, request)
        has_nodes = bool(state.tables.all("node", pool.account, pool.key))
        given = {name: body[name] for name in (*ANY_TIME, *ONLY_EMPTY) if name in body}
        for name in ONLY_EMPTY:
            if name in given and has_nodes:
                raise BatchError("OperationNotValidOnPool", Reason=f"{name} can change on an empty pool only")
        if given.get("startTask") == {}:
            del given["startTask"]
            _write(state, pool, {}, remove=("startTask",))
        _write(state, pool, given)
    return Answer(200, headers=change_headers(request, pool))


def _replace(state: "BatchState", request: Request) -> Answer:
    body = request.body("Pool")
    with state.store.transaction():
        pool = find_to_change(state, request)
        given = {name: body[name] for name in ANY_TIME if name in body}
        _write(state, pool, given, remove=tuple(name for name in ANY_TIME if name not in given))
    return Answer(204, headers=change_headers(request, pool))


def _write(
    state: "BatchState", pool: Item, given: Mapping[str, Any], *, remove: tuple[str, ...] = ()
) -> None:
    """Change asked-for members, checking the pool that results as a new one is checked."""
    kept = {name: value for name, value in pool.full().items() if name not in remove}
    targets = ("targetDedicatedNodes", "targetLowPriorityNodes", "resizeTimeout")
    if kept["enableAutoScale"]:
        kept = {name: value for name, value in kept.items() if name not in targets}
    filled = defaults.pool({**kept, **given})
    public, secrets = defaults.hide({name: filled[name] for name in given})
    for name in remove:
        pool.doc.pop(name, None)
        pool.private["secrets"].pop(name, None)
    for name in given:
        pool.private["secrets"].pop(name, None)
    pool.doc |= public
    pool.private["secrets"] |= secrets
    touch(pool, state.clock.stamp())
    state.tables.put(pool)


def _delete(state: "BatchState", request: Request) -> Answer:
    with state.store.transaction():
        pool = find_to_change(state, request)
        enter(pool, "deleting", request.now)
        touch(pool, state.clock.stamp())
        for node in state.tables.all("node", pool.account, pool.key):
            node_engine.leave(state.engine, node, "requeue", request.now)
        engine.set_allocation(pool, "resizing", request.now)
        pool.due = state.clock.after(state.engine.delays.deletion)
        state.tables.put(pool)
    state.engine.kick()
    return Answer(202)


def _option(body: Mapping[str, Any]) -> str:
    defaults.one_of(body, "nodeDeallocationOption", *OPTIONS)
    return str(body.get("nodeDeallocationOption", "requeue")).lower()


def _resize(state: "BatchState", request: Request) -> Answer:
    body = request.body("PoolResize")
    names = ("targetDedicatedNodes", "targetLowPriorityNodes")
    if not any(name in body for name in names):
        raise missing("targetDedicatedNodes")
    for name in names:
        defaults.whole(body, name, 0, defaults.MOST_NODES)
    option = _option(body)
    with state.store.transaction():
        pool = find_to_change(state, request, steady=True)
        if pool.doc["enableAutoScale"]:
            raise BatchError("OperationNotValidOnPool", Reason="The pool scales automatically")
        if "resizeTimeout" in body:
            pool.doc["resizeTimeout"] = defaults.resize_timeout(body["resizeTimeout"])
        pool.doc |= {name: body[name] for name in names if name in body}
        engine.begin_resize(state.engine, pool, request.now, option)
        touch(pool, state.clock.stamp())
        state.tables.put(pool)
    state.engine.kick()
    return Answer(202, headers=change_headers(request, pool))


def _stop_resize(state: "BatchState", request: Request) -> Answer:
    with state.store.transaction():
        pool = find_to_change(state, request)
        engine.stop_resize(state.engine, pool, request.now)
        state.tables.put(pool)
    state.engine.kick()
    return Answer(202, headers=change_headers(request, pool))


def _remove_nodes(state: "BatchState", request: Request) -> Answer:
    body = request.body("NodeRemove")
    required(body, "nodeList")
    names = body["nodeList"]
    if not 1 <= len(names) <= MOST_REMOVED:
        raise invalid("nodeList", names, f"The list must have 1 to {MOST_REMOVED} node ids")
    option = _option(body)
    with state.store.transaction():
        pool = find_to_change(state, request, steady=True)
        found = {name.lower(): _node(state, pool, name) for name in names}
        for node in found.values():
            kind = "targetDedicatedNodes" if node.doc["isDedicated"] else "targetLowPriorityNodes"
            pool.doc[kind] = max(0, pool.doc.get(kind, 0) - 1)
        engine.begin_resize(state.engine, pool, request.now, option)
        for node in found.values():
            node_engine.leave(state.engine, node, option, request.now)
        touch(pool, state.clock.stamp())
        state.tables.put(pool)
    state.engine.kick()
    return Answer(202, headers=change_headers(request, pool))


def _node(state: "BatchState", pool: Item, name: str) -> Item:
    node = state.tables.get("node", pool.account, name, pool.key)
    if node is None:
        raise BatchError("NodeNotFound")
    return node


def _enable_autoscale(state: "BatchState", request: Request) -> Answer:
    body = request.body("PoolAutoScale")
    with state.store.transaction():
        pool = find_to_change(state, request, steady=True)
        formula = body.get("autoScaleFormula", pool.doc.get("autoScaleFormula"))
        if not formula:
            raise missing("autoScaleFormula")
        given = body.get("autoScaleEvaluationInterval", pool.doc.get("autoScaleEvaluationInterval", "PT15M"))
        _check_pace(pool, request.now)
        pool.doc |= {
            "enableAutoScale": True,
            "autoScaleFormula": formula,
            "autoScaleEvaluationInterval": defaults.interval(given),
        }
        pool.doc.pop("resizeTimeout", None)
        pool.private["enabled_at"] = wire.instant(request.now)
        touch(pool, state.clock.stamp())
        state.tables.put(pool)
    return Answer(200, headers=change_headers(request, pool))


def _check_pace(pool: Item, now: datetime) -> None:
    """The service takes one change of the formula in half a minute."""
    before = pool.private.get("enabled_at")
    if before and now - wire.moment(before) < LEAST_BETWEEN_ENABLES:
        raise BatchError("TooManyEnableAutoScaleRequests")


def _disable_autoscale(state: "BatchState", request: Request) -> Answer:
    with state.store.transaction():
        pool = find_to_change(state, request)
        for name in ("autoScaleFormula", "autoScaleEvaluationInterval", "autoScaleRun"):
            pool.doc.pop(name, None)
        pool.doc |= {"enableAutoScale": False, "resizeTimeout": "PT15M"}
        touch(pool, state.clock.stamp())
        state.tables.put(pool)
    return Answer(200, headers=change_headers(request, pool))


def _evaluate_autoscale(state: "BatchState", request: Request) -> Answer:
    """Answer as the service does for a formula that it cannot evaluate: 200, the targets as they are, an error."""
    required(request.body("PoolAutoScale"), "autoScaleFormula")
    pool = find_to_change(state, request)
    if not pool.doc["enableAutoScale"]:
        raise BatchError("OperationNotValidOnPool", Reason="The pool does not scale automatically")
    results = (
        f"$TargetDedicatedNodes={pool.doc['targetDedicatedNodes']};"
        f"$TargetLowPriorityNodes={pool.doc['targetLowPriorityNodes']};$NodeDeallocationOption=requeue"
    )
    body = {
        "odata.metadata": metadata(request, "Microsoft.Azure.Batch.Protocol.Entities.AutoScaleRun"),
        "timestamp": wire.instant(request.now),
        "results": results,
        "error": NOT_EVALUATED,
    }
    return Answer(200, body, {"DataServiceId": f"{request.base_url}{request.path}"})


OPERATIONS = (
    operation("POST", "/pools", create),
    operation("GET", "/pools", _list),
    operation("GET", "/pools/{pool}", _get),
    operation("HEAD", "/pools/{pool}", _exists),
    operation("PATCH", "/pools/{pool}", _update),
    operation("DELETE", "/pools/{pool}", _delete),
    operation("POST", "/pools/{pool}/updateproperties", _replace),
    operation("POST", "/pools/{pool}/resize", _resize),
    operation("POST", "/pools/{pool}/stopresize", _stop_resize),
    operation("POST", "/pools/{pool}/removenodes", _remove_nodes),
    operation("POST", "/pools/{pool}/enableautoscale", _enable_autoscale),
    operation("POST", "/pools/{pool}/disableautoscale", _disable_autoscale),
    operation("POST", "/pools/{pool}/evaluateautoscale", _evaluate_autoscale),
)
