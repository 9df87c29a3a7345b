"""Pools and nodes through Microsoft's client: allocation, resizing, restarts, changes and deletion."""

import pytest
from azure.batch import BatchClient, models
from azure.core import MatchConditions
from azure.core.exceptions import (
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)

from tests.emulator.batch import fresh, machine, make_job, make_pool, make_task, wait


def _code(error: pytest.ExceptionInfo[HttpResponseError]) -> str:
    return str(error.value.error.code)


def _nodes(client: BatchClient, pool: str) -> list[models.BatchNode]:
    return list(client.list_nodes(pool))


def test_pool_allocates_its_nodes_and_they_become_idle(client: BatchClient) -> None:
    pool = make_pool(client, nodes=2, waits=False)
    assert client.get_pool(pool).allocation_state == "resizing"
    wait(lambda: [node.state for node in _nodes(client, pool)] == ["idle", "idle"])
    found = client.get_pool(pool)
    assert found.allocation_state == "steady"
    assert (found.current_dedicated_nodes, found.target_dedicated_nodes) == (2, 2)
    assert found.vm_size == "standard_nc4as_t4_v3"
    node = _nodes(client, pool)[0]
    assert node.is_dedicated
    assert node.id.startswith("tvmps_")
    assert node.affinity_id == f"TVM:{node.id}"
    assert node.node_agent_info.version


def test_pool_without_nodes_is_steady_at_once(client: BatchClient) -> None:
    pool = make_pool(client, nodes=0, waits=False)
    assert client.get_pool(pool).allocation_state is models.AllocationState.STEADY


def test_id_is_taken_whatever_its_case(client: BatchClient) -> None:
    pool = make_pool(client, nodes=0)
    options = models.BatchPoolCreateOptions(
        id=pool.upper(), vm_size="standard_d2_v2", virtual_machine_configuration=machine()
    )
    with pytest.raises(ResourceExistsError) as error:
        client.create_pool(options)
    assert _code(error) == "PoolExists"
    assert "(PoolExists) The specified pool already exists." in str(error.value)


def test_resize_grows_and_shrinks(client: BatchClient) -> None:
    pool = make_pool(client)
    client.begin_resize_pool(
        pool, models.BatchPoolResizeOptions(target_dedicated_nodes=2, target_low_priority_nodes=1)
    )
    with pytest.raises(ResourceExistsError) as error:
        client.begin_resize_pool(pool, models.BatchPoolResizeOptions(target_dedicated_nodes=3))
    assert _code(error) == "PoolBeingResized"
    wait(lambda: [node.state for node in _nodes(client, pool)] == ["idle"] * 3)
    wait(lambda: client.get_pool(pool).allocation_state == "steady")
    assert client.get_pool(pool).current_low_priority_nodes == 1
    client.begin_resize_pool(
        pool, models.BatchPoolResizeOptions(target_dedicated_nodes=0, target_low_priority_nodes=0)
    )
    wait(lambda: _nodes(client, pool) == [] and client.get_pool(pool).allocation_state == "steady")
    assert client.get_pool(pool).current_dedicated_nodes == 0


def test_stopped_resize_keeps_what_there_is(client: BatchClient) -> None:
    pool = make_pool(client, nodes=0)
    client.begin_resize_pool(pool, models.BatchPoolResizeOptions(target_dedicated_nodes=5))
    client.begin_stop_pool_resize(pool)
    wait(lambda: client.get_pool(pool).allocation_state == "steady")
    found = client.get_pool(pool)
    assert found.current_dedicated_nodes == 0
    assert found.resize_errors[0].code == "ResizeStopped"


def test_shrinking_waits_for_tasks_when_asked_to(client: BatchClient) -> None:
    pool = make_pool(client)
    job = make_job(client, pool)
    task = make_task(client, job, "sleep 1")
    wait(lambda: client.get_task(job, task).state == "running")
    client.begin_resize_pool(
        pool,
        models.BatchPoolResizeOptions(target_dedicated_nodes=0, node_deallocation_option="taskcompletion"),
    )
    wait(lambda: _nodes(client, pool) == [])
    assert client.get_task(job, task).execution_info.result == "success"


def test_shrinking_puts_tasks_back_into_the_queue(client: BatchClient) -> None:
    pool = make_pool(client)
    job = make_job(client, pool)
    task = make_task(client, job, "sleep 60")
    wait(lambda: client.get_task(job, task).state == "running")
    node = _nodes(client, pool)[0]
    client.begin_remove_nodes(pool, models.BatchNodeRemoveOptions(node_ids=[node.id]))
    wait(lambda: _nodes(client, pool) == [])
    found = client.get_task(job, task)
    assert found.state == "active"
    assert found.execution_info.requeue_count == 1
    assert client.get_pool(pool).target_dedicated_nodes == 0


def test_start_task_runs_before_the_node_is_idle(client: BatchClient) -> None:
    pool = make_pool(
        client,
        start_task=models.BatchStartTask(command_line="/bin/sh -c 'echo started'", wait_for_success=True),
    )
    node = _nodes(client, pool)[0]
    assert node.start_task_info.exit_code == 0
    assert node.start_task_info.result == "success"
    content = b"".join(client.download_node_file(pool, node.id, "startup/stdout.txt"))
    assert content == b"started\n"


def test_failing_start_task_keeps_the_node_out(client: BatchClient) -> None:
    start = models.BatchStartTask(
        command_line="/bin/sh -c 'exit 3'", max_task_retry_count=1, wait_for_success=True
    )
    pool = make_pool(client, waits=False, start_task=start)
    wait(lambda: [node.state for node in _nodes(client, pool)] == ["starttaskfailed"])
    info = _nodes(client, pool)[0].start_task_info
    assert (info.exit_code, info.retry_count, info.failure_info.code) == (3, 1, "FailureExitCode")


@pytest.mark.parametrize("verb", ["reboot", "reimage"])
def test_restarted_node_comes_back(client: BatchClient, verb: str) -> None:
    pool = make_pool(client)
    node = _nodes(client, pool)[0]
    body = {f"node{verb.capitalize()}Option": "requeue"}
    {"reboot": client.begin_reboot_node, "reimage": client.begin_reimage_node}[verb](pool, node.id, body)
    assert client.get_node(pool, node.id).state in ("rebooting", "reimaging", "starting")
    wait(lambda: client.get_node(pool, node.id).state == "idle")
    assert client.get_node(pool, node.id).last_boot_time > node.last_boot_time


def test_node_out_of_scheduling_takes_no_tasks(client: BatchClient) -> None:
    pool = make_pool(client)
    node = _nodes(client, pool)[0].id
    client.disable_node_scheduling(
        pool, node, models.BatchNodeDisableSchedulingOptions(node_disable_scheduling_option="requeue")
    )
    assert client.get_node(pool, node).state == "offline"
    with pytest.raises(ResourceExistsError) as error:
        client.disable_node_scheduling(
            pool, node, models.BatchNodeDisableSchedulingOptions(node_disable_scheduling_option="requeue")
        )
    assert _code(error) == "NodeAlreadyInTargetSchedulingState"
    job = make_job(client, pool)
    task = make_task(client, job, "true")
    client.enable_node_scheduling(pool, node)
    wait(lambda: client.get_task(job, task).state == "completed")


def test_deleted_pool_is_gone_and_its_tasks_wait(client: BatchClient) -> None:
    pool = make_pool(client)
    job = make_job(client, pool)
    task = make_task(client, job, "sleep 60")
    wait(lambda: client.get_task(job, task).state == "running")
    client.begin_delete_pool(pool, polling_interval=0.1).result()
    with pytest.raises(ResourceNotFoundError):
        client.get_pool(pool)
    assert client.get_task(job, task).state == "active"


def test_change_needs_the_right_etag(client: BatchClient) -> None:
    pool = make_pool(client, nodes=0)
    before = client.get_pool(pool)
    metadata = [models.BatchMetadataItem(name="owner", value="galaxy zoo")]
    client.update_pool(pool, models.BatchPoolUpdateOptions(metadata=metadata))
    after = client.get_pool(pool)
    assert after.etag != before.etag
    assert after.metadata[0].value == "galaxy zoo"
    with pytest.raises(ResourceModifiedError) as error:
        client.update_pool(
            pool,
            models.BatchPoolUpdateOptions(metadata=[]),
            etag=before.etag,
            match_condition=MatchConditions.IfNotModified,
        )
    assert _code(error) == "ConditionNotMet"
    client.update_pool(
        pool,
        models.BatchPoolUpdateOptions(metadata=[]),
        etag=after.etag,
        match_condition=MatchConditions.IfNotModified,
    )


def test_replaced_properties_remove_what_is_left_out(client: BatchClient) -> None:
    pool = make_pool(client, nodes=0, start_task=models.BatchStartTask(command_line="true"))
    client.replace_pool_properties(
        pool,
        models.BatchPoolReplaceOptions(
            application_package_references=[], metadata=[models.BatchMetadataItem(name="a", value="b")]
        ),
    )
    found = client.get_pool(pool)
    assert found.start_task is None
    assert found.metadata[0].name == "a"


def test_secrets_are_kept_to_the_service(client: BatchClient) -> None:
    registry = models.ContainerRegistryReference(
        username="zoobot", password="registry-secret", registry_server="zoobatch.azurecr.io"
    )
    containers = models.BatchContainerConfiguration(
        type="dockerCompatible",
        container_image_names=["zoobatch.azurecr.io/a:1"],
        container_registries=[registry],
    )
    mount = models.MountConfiguration(
        azure_blob_file_system_configuration=models.AzureBlobFileSystemConfiguration(
            account_name="zoobatchdemo",
            container_name="models",
            relative_mount_path="models",
            account_key="storage-secret",
        )
    )
    pool = make_pool(
        client,
        nodes=0,
        virtual_machine_configuration=machine(container_configuration=containers),
        mount_configuration=[mount],
    )
    client.update_pool(pool, models.BatchPoolUpdateOptions(metadata=[]))
    text = str(client.get_pool(pool).as_dict())
    assert "registry-secret" not in text
    assert "storage-secret" not in text
    assert "relativeMountPath" in text


def test_formula_is_kept_and_not_evaluated(client: BatchClient) -> None:
    pool = make_pool(client, nodes=0)
    client.enable_pool_auto_scale(
        pool,
        models.BatchPoolEnableAutoScaleOptions(
            auto_scale_formula="$TargetDedicatedNodes=1;", auto_scale_evaluation_interval="PT6M"
        ),
    )
    found = client.get_pool(pool)
    assert found.enable_auto_scale
    assert found.auto_scale_formula == "$TargetDedicatedNodes=1;"
    with pytest.raises(ResourceExistsError):
        client.begin_resize_pool(pool, models.BatchPoolResizeOptions(target_dedicated_nodes=1))
    run = client.evaluate_pool_auto_scale(
        pool, models.BatchPoolEvaluateAutoScaleOptions(auto_scale_formula="$TargetDedicatedNodes=3;")
    )
    assert run.error.code == "AutoScalingFormulaEvaluationError"
    client.disable_pool_auto_scale(pool)
    assert not client.get_pool(pool).enable_auto_scale


def test_counts_of_nodes_name_every_pool(client: BatchClient) -> None:
    pool = make_pool(client)
    counts = {each.pool_id: each for each in client.list_pool_node_counts()}
    assert counts[pool].dedicated.idle == counts[pool].dedicated.total == 1
    assert counts[pool].low_priority.total == 0
    only = list(client.list_pool_node_counts(filter=f"poolId eq '{pool}'"))
    assert [each.pool_id for each in only] == [pool]


def test_supported_images_can_be_filtered(client: BatchClient) -> None:
    linux = list(client.list_supported_images(filter="osType eq 'linux'"))
    assert any("DockerCompatible" in (image.capabilities or []) for image in linux)
    assert {image.os_type for image in linux} == {"linux"}


def test_unmade_pool_is_not_found(client: BatchClient) -> None:
    with pytest.raises(ResourceNotFoundError) as error:
        client.get_pool(fresh())
    assert "(PoolNotFound) The specified pool does not exist." in str(error.value)
