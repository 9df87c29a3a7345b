"""Jobs and tasks through Microsoft's client: running, retries, preparation, ends of all kinds."""

from datetime import timedelta
from typing import Any

import pytest
from azure.batch import BatchClient, models
from azure.core.exceptions import (
    HttpResponseError,
    ResourceExistsError,
    ResourceNotFoundError,
)

from tests.emulator.batch import finished, fresh, machine, make_job, make_pool, make_task, output, wait

CREATION, FOLDER = "ResourceFileCreateFailed", "ResourceDirectoryCreateFailed"


@pytest.fixture(scope="module")
def pool(module_client: BatchClient) -> str:
    """Return a pool with one node of two slots, shared by the tests of this module."""
    return make_pool(module_client, task_slots_per_node=2)


def _code(error: pytest.ExceptionInfo[HttpResponseError]) -> str:
    return str(error.value.error.code)


def _output(pattern: str) -> models.OutputFile:
    return models.OutputFile(
        file_pattern=pattern,
        destination=models.OutputFileDestination(
            container=models.OutputFileBlobContainerDestination(container_url="https://a/b?sig=c")
        ),
        upload_options=models.OutputFileUploadConfiguration(upload_condition="taskcompletion"),
    )


def _ended(client: BatchClient, job: str) -> models.BatchJob:
    return wait(lambda: found if (found := client.get_job(job)).state == "completed" else None)


def test_task_runs_and_its_output_is_read(client: BatchClient, pool: str) -> None:
    job = make_job(client, pool)
    task = make_task(client, job, "/bin/sh -c 'echo out; echo err >&2'")
    found = finished(client, job, task)
    assert found.execution_info.exit_code == 0
    assert found.execution_info.result is models.BatchTaskExecutionResult.SUCCESS
    assert found.previous_state == "running"
    assert found.node_info.pool_id == pool
    assert found.node_info.task_root_directory == f"workitems/{job}/job-1/{task}"
    assert found.constraints.retention_time == timedelta(days=7)
    assert output(client, job, task) == b"out\n"
    assert output(client, job, task, "stderr.txt") == b"err\n"
    counts = client.get_job_task_counts(job)
    assert (counts.task_counts.completed, counts.task_counts.succeeded) == (1, 1)
    node = client.get_node(pool, found.node_info.node_id)
    assert any(recent.task_id == task for recent in node.recent_tasks)


def test_failure_is_tried_again_and_then_final(client: BatchClient, pool: str) -> None:
    job = make_job(client, pool, constraints=models.BatchJobConstraints(max_task_retry_count=2))
    task = make_task(client, job, "/bin/sh -c 'exit 7'")
    info = finished(client, job, task).execution_info
    assert (info.exit_code, info.retry_count, info.result) == (7, 2, "failure")
    assert info.failure_info.code == "FailureExitCode"
    assert info.last_retry_time is not None


def test_time_limit_ends_the_task(client: BatchClient, pool: str) -> None:
    job = make_job(client, pool)
    limit = models.BatchTaskConstraints(max_wall_clock_time=timedelta(seconds=1), max_task_retry_count=3)
    info = finished(client, job, make_task(client, job, "sleep 60", constraints=limit)).execution_info
    assert (info.result, info.failure_info.code, info.retry_count) == ("failure", "TaskEnded", 0)


def test_node_runs_as_many_tasks_as_it_has_slots(client: BatchClient, pool: str) -> None:
    job = make_job(client, pool)
    tasks = [make_task(client, job, "sleep 0.6") for _ in range(3)]
    wait(lambda: client.get_job_task_counts(job).task_counts.running == 2)
    states = [client.get_task(job, task).state for task in tasks]
    assert states.count("active") == 1
    assert [node.running_tasks_count for node in client.list_nodes(pool)] == [2]
    for task in tasks:
        finished(client, job, task)


def test_task_of_two_slots_waits_for_both(client: BatchClient, pool: str) -> None:
    job = make_job(client, pool)
    small = make_task(client, job, "sleep 0.5")
    wait(lambda: client.get_task(job, small).state == "running")
    wide = make_task(client, job, "true", required_slots=2)
    assert client.get_task(job, wide).state == "active"
    first, second = finished(client, job, small), finished(client, job, wide)
    assert second.execution_info.start_time >= first.execution_info.end_time


def test_preparation_runs_once_on_the_node_and_release_at_the_end(client: BatchClient, pool: str) -> None:
    job = make_job(
        client,
        pool,
        job_preparation_task=models.BatchJobPreparationTask(command_line="/bin/sh -c 'echo prepared'"),
        job_release_task=models.BatchJobReleaseTask(command_line="/bin/sh -c 'echo released'"),
    )
    for task in [make_task(client, job, "true") for _ in range(2)]:
        finished(client, job, task)
    (status,) = client.list_job_preparation_and_release_task_status(job)
    assert status.job_preparation_task_execution_info.result == "success"
    assert status.job_release_task_execution_info is None
    client.begin_terminate_job(job, {"terminateReason": "enough"})
    assert _ended(client, job).execution_info.termination_reason == "enough"
    (status,) = client.list_job_preparation_and_release_task_status(job)
    assert status.job_release_task_execution_info.exit_code == 0
    path = f"{status.job_preparation_task_execution_info.task_root_directory}/stdout.txt"
    assert b"".join(client.download_node_file(pool, status.node_id, path)) == b"prepared\n"


def test_failed_preparation_leaves_the_task_waiting(client: BatchClient, pool: str) -> None:
    preparation = models.BatchJobPreparationTask(
        command_line="/bin/sh -c 'exit 4'", constraints=models.BatchTaskConstraints(max_task_retry_count=1)
    )
    job = make_job(client, pool, job_preparation_task=preparation)
    task = make_task(client, job, "true")

    def failed() -> bool:
        found = list(client.list_job_preparation_and_release_task_status(job))
        return bool(found) and found[0].job_preparation_task_execution_info.result == "failure"

    wait(failed)
    wait(lambda: client.get_task(job, task).state == "active")
    (status,) = client.list_job_preparation_and_release_task_status(job)
    info = status.job_preparation_task_execution_info
    assert (info.exit_code, info.retry_count) == (4, 1)
    other = make_job(client, pool)
    assert finished(client, other, make_task(client, other)).execution_info.exit_code == 0
    client.begin_delete_job(job)


def test_job_ends_when_all_its_tasks_have(client: BatchClient, pool: str) -> None:
    job = make_job(client, pool, all_tasks_complete_mode="terminatejob")
    make_task(client, job, "sleep 0.2")
    found = _ended(client, job)
    assert found.execution_info.termination_reason == "AllTasksComplete"
    assert found.execution_info.pool_id == pool
    with pytest.raises(ResourceExistsError) as error:
        make_task(client, job)
    assert _code(error) == "JobCompleted"


def test_job_without_tasks_lives_a_while_and_then_ends(client: BatchClient, pool: str) -> None:
    job = make_job(client, pool, all_tasks_complete_mode="terminatejob")
    assert client.get_job(job).state == "active"
    assert _ended(client, job).execution_info.termination_reason == "AllTasksComplete"


def test_mode_set_after_the_tasks_ends_the_job(client: BatchClient, pool: str) -> None:
    job = make_job(client, pool)
    finished(client, job, make_task(client, job, "true"))
    client.update_job(job, models.BatchJobUpdateOptions(all_tasks_complete_mode="terminatejob"))
    _ended(client, job)


def test_failing_task_ends_its_job_when_asked_to(client: BatchClient, pool: str) -> None:
    job = make_job(client, pool, task_failure_mode="performexitoptionsjobaction")
    stay = models.ExitOptions(job_action="none")
    calm = models.ExitConditions(exit_codes=[models.ExitCodeMapping(code=5, exit_options=stay)])
    finished(client, job, make_task(client, job, "/bin/sh -c 'exit 5'", exit_conditions=calm))
    assert client.get_job(job).state == "active"
    make_task(client, job, "/bin/sh -c 'exit 6'")
    assert _ended(client, job).execution_info.termination_reason == "TaskFailed"


def test_time_limit_ends_the_job(client: BatchClient, pool: str) -> None:
    job = make_job(
        client, pool, constraints=models.BatchJobConstraints(max_wall_clock_time=timedelta(seconds=1))
    )
    task = make_task(client, job, "sleep 60")
    assert _ended(client, job).execution_info.termination_reason == "MaxWallClockTimeExpiry"
    assert client.get_task(job, task).execution_info.failure_info.code == "TaskEnded"


def test_terminated_job_ends_what_runs_and_leaves_what_waits(client: BatchClient, pool: str) -> None:
    job = make_job(client, pool, max_parallel_tasks=1)
    running, waiting = make_task(client, job, "sleep 60", id="a"), make_task(client, job, "true", id="b")
    wait(lambda: client.get_task(job, running).state == "running")
    client.begin_terminate_job(job, {"terminateReason": "stop"})
    assert client.get_job(job).state in ("terminating", "completed")
    _ended(client, job)
    assert client.get_task(job, running).execution_info.result == "failure"
    assert client.get_task(job, waiting).state == "active"
    with pytest.raises(ResourceExistsError) as error:
        client.begin_terminate_job(job, {"terminateReason": "again"})
    assert _code(error) == "JobCompleted"


@pytest.mark.parametrize(("option", "state"), [("requeue", "active"), ("terminate", "completed")])
def test_disabled_job_holds_its_tasks(client: BatchClient, pool: str, option: str, state: str) -> None:
    job = make_job(client, pool)
    task = make_task(client, job, "sleep 60")
    wait(lambda: client.get_task(job, task).state == "running")
    client.begin_disable_job(job, models.BatchJobDisableOptions(disable_tasks=option))
    wait(lambda: client.get_job(job).state == "disabled")
    assert client.get_task(job, task).state == state
    held = make_task(client, job, "true")
    client.begin_enable_job(job)
    if option == "terminate":
        finished(client, job, held)
    client.begin_delete_job(job)


def test_deleted_job_is_gone(client: BatchClient, pool: str) -> None:
    job = make_job(client, pool)
    make_task(client, job, "sleep 60")
    client.begin_delete_job(job, polling_interval=0.1).result()
    with pytest.raises(ResourceNotFoundError):
        client.get_job(job)


def test_terminated_task_can_be_reactivated(client: BatchClient, pool: str) -> None:
    job = make_job(client, pool)
    task = make_task(client, job, "/bin/sh -c 'test -e again || sleep 60'")
    wait(lambda: client.get_task(job, task).state == "running")
    with pytest.raises(ResourceExistsError) as error:
        client.reactivate_task(job, task)
    assert _code(error) == "TaskNotCompleted"
    client.terminate_task(job, task)
    found = client.get_task(job, task)
    assert (found.state, found.execution_info.failure_info.code) == ("completed", "TaskEnded")
    client.reactivate_task(job, task)
    assert client.get_task(job, task).execution_info.failure_info is None
    client.delete_task(job, task)
    with pytest.raises(ResourceNotFoundError):
        client.get_task(job, task)


def test_dependent_task_waits(client: BatchClient, pool: str) -> None:
    job = make_job(client, pool, uses_task_dependencies=True)
    after = models.BatchTaskDependencies(
        task_ids=["first"], task_id_ranges=[models.BatchTaskIdRange(start=1, end=2)]
    )
    make_task(client, job, "true", id="last", depends_on=after)
    for name in ("1", "2"):
        finished(client, job, make_task(client, job, "true", id=name))
    assert client.get_task(job, "last").state == "active"
    make_task(client, job, "true", id="first")
    assert finished(client, job, "last").execution_info.result == "success"


def test_higher_priority_goes_first(client: BatchClient, pool: str) -> None:
    blocker = make_job(client, pool)
    block = make_task(client, blocker, "sleep 0.5", required_slots=2)
    wait(lambda: client.get_task(blocker, block).state == "running")
    low, high = make_job(client, pool, priority=-10), make_job(client, pool, priority=10)
    first = make_task(client, low, "sleep 0.2", required_slots=2)
    second = make_task(client, high, "sleep 0.2", required_slots=2)
    late, early = finished(client, low, first), finished(client, high, second)
    assert early.execution_info.start_time < late.execution_info.start_time


def test_collection_answers_for_each_task(client: BatchClient) -> None:
    job = make_job(client, fresh("nopool"))
    make_task(client, job, id="taken")
    names = [f"t{number:03}" for number in range(150)]
    tasks = [models.BatchTaskCreateOptions(id=name, command_line="true") for name in names]
    results = client.create_tasks(job, tasks)
    assert {result.task_id for result in results.result_values} == set(names)
    (again,) = client.create_tasks(
        job, [models.BatchTaskCreateOptions(id="taken", command_line="true")]
    ).result_values
    assert (again.status, again.error.code) == ("clienterror", "TaskExists")
    listed = [task.id for task in client.list_tasks(job, max_results=40)]
    assert listed == sorted([*names, "taken"])


def test_environment_of_the_job_reaches_the_task(client: BatchClient, pool: str) -> None:
    settings = [
        models.EnvironmentSetting(name="GALAXY", value="M 31"),
        models.EnvironmentSetting(name="A", value="1"),
    ]
    job = make_job(client, pool, common_environment_settings=settings)
    task = make_task(
        client,
        job,
        "/bin/sh -c 'echo $GALAXY $A $AZ_BATCH_JOB_ID'",
        environment_settings=[models.EnvironmentSetting(name="A", value="2")],
    )
    finished(client, job, task)
    assert output(client, job, task).decode() == f"M 31 2 {job}\n"


def test_unknown_program_is_told_as_such(client: BatchClient, pool: str) -> None:
    job = make_job(client, pool)
    info = finished(client, job, make_task(client, job, "no-such-program --at-all")).execution_info
    assert info.result == "failure"
    assert info.failure_info.code == "CommandProgramNotFound"
    assert info.retry_count == 0


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"command_line": "true \0"}, "CommandLaunchFailed"),
        ({"environment_settings": [models.EnvironmentSetting(name="A=B", value="x")]}, "CommandLaunchFailed"),
        ({"environment_settings": [models.EnvironmentSetting(name="A", value="\0")]}, "CommandLaunchFailed"),
        ({"resource_files": [models.ResourceFile(http_url="https://[")]}, "BlobDownloadMiscError"),
        ({"resource_files": [models.ResourceFile(http_url="https://a/b", file_path="a\0")]}, CREATION),
        (
            {"resource_files": [models.ResourceFile(http_url="https://a/b", file_path="a", file_mode="rwx")]},
            CREATION,
        ),
        (
            {"resource_files": [models.ResourceFile(http_url="https://a/b", file_path="a" * 300 + "/b")]},
            FOLDER,
        ),
        ({"output_files": [_output("[z-a]*")]}, None),
        ({"output_files": [_output("a" * 300)]}, None),
        ({"output_files": [_output("a\0")]}, None),
    ],
)
def test_what_no_node_could_do_is_the_task_s_own_failure(
    client: BatchClient, pool: str, more: dict[str, Any], code: str | None
) -> None:
    job, name = make_job(client, pool), fresh("task")
    client.create_task(job, models.BatchTaskCreateOptions(**{"id": name, "command_line": "true", **more}))
    failure = finished(client, job, name).execution_info.failure_info
    assert (failure and failure.code) == code
    assert failure is None or failure.category == "usererror"


def test_dependence_on_billions_of_tasks_holds_up_only_the_task(client: BatchClient, pool: str) -> None:
    job = make_job(client, pool, uses_task_dependencies=True)
    everything = models.BatchTaskDependencies(
        task_id_ranges=[models.BatchTaskIdRange(start=0, end=2**31 - 1)]
    )
    make_task(client, job, "true", id="last", depends_on=everything)
    assert finished(client, job, make_task(client, job, "true")).execution_info.result == "success"
    assert client.get_task(job, "last").state == "active"


def test_job_with_a_pool_of_its_own_takes_it_along(client: BatchClient) -> None:
    job = fresh("auto")
    spec = models.BatchPoolSpecification(vm_size="standard_d2_v2", virtual_machine_configuration=machine())
    automatic = models.BatchAutoPoolSpecification(
        pool_lifetime_option="job", auto_pool_id_prefix="mine", pool=spec
    )
    client.create_job(
        models.BatchJobCreateOptions(
            id=job, pool_info=models.BatchPoolInfo(auto_pool_specification=automatic)
        )
    )
    pool = client.get_job(job).execution_info.pool_id
    assert pool.startswith("mine")
    assert client.get_pool(pool).state == "active"
    client.begin_delete_job(job, polling_interval=0.1).result()
    wait(lambda: pool not in [each.id for each in client.list_pools()])
