"""What Azure answers becomes snapshots: published examples, times, durations, hashes."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cloud.types import AutoScaleRun, Snapshot
from cloud.wire import read_jobs, read_pools, scalars

PUBLISHED: dict[str, Any] = json.loads((Path(__file__).parent / "published" / "responses.json").read_text())


@pytest.mark.parametrize("name", [name for name in PUBLISHED if name.startswith("Pools_GetPool")])
def test_a_published_pool_is_read(name: str) -> None:
    data = PUBLISHED[name]
    pool = read_pools.pool(data)
    assert (pool.id, pool.state, pool.allocation_state) == (
        data["id"],
        data["state"],
        data["allocationState"],
    )
    assert pool.current_dedicated_nodes == data["currentDedicatedNodes"]
    assert pool.etag == data["eTag"]
    assert pool.resize_timeout == timedelta(minutes=15)
    assert pool.image_reference is not None
    assert pool.operation is None
    assert pool.raw is None
    assert read_pools.pool(data, raw=True).raw == data


def test_every_item_of_the_published_lists_is_read() -> None:
    readers: dict[str, Any] = {
        "Pools_ListPools_Basic": read_pools.pool,
        "Pools_ListSupportedImages": read_pools.vm_image,
        "Nodes_ListNodes": lambda item: read_pools.node(item, "pool"),
        "Jobs_ListJobs": read_jobs.job,
        "Tasks_ListTasks": lambda item: read_jobs.task(item, "job"),
        "Jobs_ListJobPreparationAndReleaseTaskStatus": read_jobs.preparation,
        "Tasks_ListTaskFiles": read_jobs.file,
        "Nodes_ListNodeFiles": read_jobs.file,
    }
    for name, read in readers.items():
        items = PUBLISHED[name]["value"]
        assert items, name
        for item in items:
            snapshot: Snapshot = read(item)
            assert len(snapshot.content_hash()) == 32


def test_a_published_task_is_read() -> None:
    data = PUBLISHED["Tasks_GetTask"]
    task = read_jobs.task(data, "jobId")
    assert (task.id, task.state) == (data["id"], data["state"])
    assert task.retry_count == data["executionInfo"]["retryCount"]
    assert task.retention_time == scalars.duration(data["constraints"]["retentionTime"])


def test_published_counts_and_preparation_are_read() -> None:
    counts = read_jobs.task_counts(PUBLISHED["Jobs_GetJobTaskCounts"])
    assert counts.completed == counts.succeeded + counts.failed
    (item,) = PUBLISHED["Jobs_ListJobPreparationAndReleaseTaskStatus"]["value"]
    status = read_jobs.preparation(item)
    assert status.preparation is not None
    assert status.preparation.exit_code == 0
    assert status.release is not None
    assert status.release.state == "completed"


def test_a_published_evaluation_is_read() -> None:
    run = read_pools.auto_scale_run(PUBLISHED["Pools_EvaluatePoolAutoscale"])
    assert isinstance(run, AutoScaleRun)
    assert run.results == (("$TargetDedicated", "1"), ("$NodeDeallocationOption", "requeue"))


def test_mounts_come_back_without_their_keys() -> None:
    pool = read_pools.pool(
        {
            "id": "p",
            "state": "active",
            "mountConfiguration": [
                {
                    "azureBlobFileSystemConfiguration": {
                        "accountName": "a",
                        "containerName": "c",
                        "relativeMountPath": "m",
                    }
                },
                {"azureFileShareConfiguration": {"azureFileUrl": "https://a/s", "relativeMountPath": "f"}},
                {
                    "nfsMountConfiguration": {
                        "source": "h:/e",
                        "relativeMountPath": "n",
                        "mountOptions": "-o ro",
                    }
                },
                {"cifsMountConfiguration": {"source": "//h/s", "relativeMountPath": "s", "username": "u"}},
                {"someFutureMountConfiguration": {}},
            ],
        }
    )
    assert [(m.kind, m.source, m.relative_mount_path) for m in pool.mounts] == [
        ("blob", "a/c", "m"),
        ("fileshare", "https://a/s", "f"),
        ("nfs", "h:/e", "n"),
        ("cifs", "//h/s", "s"),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("PT6M", timedelta(minutes=6)),
        ("PT06M00S", timedelta(minutes=6)),
        ("P1DT02H00M00S", timedelta(days=1, hours=2)),
        ("P1279DT12H30M5S", timedelta(days=1279, hours=12, minutes=30, seconds=5)),
        ("P3Y6M4DT12H30M5S", timedelta(days=1279, hours=12, minutes=30, seconds=5)),
        ("PT0.5S", timedelta(milliseconds=500)),
        ("P2W", timedelta(weeks=2)),
        ("P10675199DT2H48M5.4775807S", None),
        ("", None),
        (None, None),
        ("nonsense", None),
    ],
)
def test_durations_are_read(text: str | None, expected: timedelta | None) -> None:
    assert scalars.duration(text) == expected


def test_times_keep_microseconds_and_their_zone() -> None:
    assert scalars.time("2024-04-10T01:53:22.1234567Z") == datetime(2024, 4, 10, 1, 53, 22, 123456, UTC)
    assert scalars.header_time("Wed, 10 Apr 2024 01:53:22 GMT") == datetime(
        2024, 4, 10, 1, 53, 22, tzinfo=UTC
    )


def test_the_hash_follows_the_synced_fields_alone() -> None:
    pool = read_pools.pool(PUBLISHED["Pools_GetPool_Basic"])
    full = read_pools.pool(PUBLISHED["Pools_GetPool_Basic"], raw=True)
    assert full.content_hash() == pool.content_hash()
    assert full == pool
    assert hash(full) == hash(pool)
    assert replace(pool, target_dedicated_nodes=9).content_hash() != pool.content_hash()
    assert replace(pool, metadata=(("a", "b"),)).content_hash() != pool.content_hash()


def test_snapshots_of_nodes_say_what_runs_and_what_failed() -> None:
    node = read_pools.node(
        {
            "id": "n",
            "state": "starttaskfailed",
            "recentTasks": [
                {"jobId": "j", "taskId": "1", "taskState": "running"},
                {"jobId": "j", "taskId": "0", "taskState": "completed"},
            ],
            "startTaskInfo": {
                "state": "completed",
                "startTime": "2024-04-10T01:53:22Z",
                "exitCode": 3,
                "result": "failure",
                "retryCount": 1,
                "failureInfo": {
                    "category": "usererror",
                    "code": "FailureExitCode",
                    "message": "m",
                    "details": [{"name": "Message", "value": "v"}],
                },
            },
            "errors": [{"code": "C", "message": "m", "errorDetails": [{"name": "a", "value": "b"}]}],
        },
        "p",
    )
    assert node.running_tasks == (("j", "1"),)
    assert node.start_task_info is not None
    assert node.start_task_info.failure_info is not None
    assert node.start_task_info.failure_info.details == (("Message", "v"),)
    assert node.errors[0].details == (("a", "b"),)
