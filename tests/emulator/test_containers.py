"""Container tasks in real containers: images pulled from the emulated registry, run by buildah without a daemon."""

import io
import os
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from azure.batch import BatchClient, models
from azure.storage.blob import BlobServiceClient

from emulator.batch.run.images import Image, Reference
from examples.registry import ImageSource, RegistryClient
from tests.emulator.batch import connect, finished, machine, make_job, make_pool, make_task, output, wait
from tests.emulator_fixture import TIME_SCALE, RunningEmulator

SERVER = "zoobatch.azurecr.io"
BUSYBOX = Path("/bin/busybox")
APPLETS = ("sh", "echo", "cat", "id", "pwd", "env", "sleep", "ls")


def _can_run() -> bool:
    is_possible = os.geteuid() == 0 and shutil.which("buildah") is not None and BUSYBOX.exists()
    if not is_possible and os.environ.get("CI"):
        pytest.fail("Containers need root, buildah and busybox-static; these tests are never left out here.")
    return is_possible


@pytest.fixture(scope="module")
def endpoints(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Return the endpoints of an emulator that runs containers, with an image in its registry."""
    if not _can_run():
        pytest.skip("Containers need root, buildah and busybox-static.")
    folder = tmp_path_factory.mktemp("containers") / "data"
    running = RunningEmulator(folder, f"--time-scale={TIME_SCALE}", "--container-runtime=buildah")
    try:
        yield running.start()
    finally:
        running.stop()


@pytest.fixture(scope="module")
def client(endpoints: dict[str, Any]) -> Iterator[BatchClient]:
    """Return Microsoft's client for that emulator."""
    with connect(endpoints) as found:
        yield found


@pytest.fixture(scope="module")
def digest(endpoints: dict[str, Any]) -> str:
    """Push two images, one with an entry point, and return the digest of the plain one."""
    registry = endpoints["registry"]
    pusher = RegistryClient(registry["url"], registry["username"], registry["password"], endpoints["ca"])
    layers = [_busybox()]
    pusher.push("tools/entry", "1", ImageSource(layers, entrypoint=["/bin/echo", "entry:"]))
    environment = {"PATH": "/bin", "BAKED_IN": "galaxy"}
    return pusher.push("tools/shell", "1", ImageSource(layers, environment, command=["/bin/sh"]))


@pytest.fixture(scope="module")
def pool(client: BatchClient, endpoints: dict[str, Any], digest: str) -> str:
    """Return a pool with one node that has pulled the image and mounts a container of storage."""
    blob = endpoints["blob"]
    service = BlobServiceClient(blob["url"], credential=_key(blob), connection_verify=endpoints["ca"])
    with service:
        service.create_container("training").upload_blob("greeting.txt", b"from storage\n")
    return make_pool(
        client,
        virtual_machine_configuration=_containers(endpoints, f"{SERVER}/tools/shell:1"),
        mount_configuration=[_mount(blob)],
    )


def _key(blob: dict[str, Any]) -> dict[str, str]:
    return {"account_name": blob["account"], "account_key": blob["key"]}


def _mount(blob: dict[str, Any]) -> models.MountConfiguration:
    return models.MountConfiguration(
        azure_blob_file_system_configuration=models.AzureBlobFileSystemConfiguration(
            account_name=blob["account"],
            account_key=blob["key"],
            container_name="training",
            relative_mount_path="training",
        )
    )


def _containers(
    endpoints: dict[str, Any], *images: str, password: str | None = None
) -> models.VirtualMachineConfiguration:
    registry = endpoints["registry"]
    credential = models.ContainerRegistryReference(
        registry_server=SERVER, username=registry["username"], password=password or registry["password"]
    )
    return machine(
        container_configuration=models.BatchContainerConfiguration(
            type="dockerCompatible", container_image_names=list(images), container_registries=[credential]
        )
    )


def _busybox() -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.add(BUSYBOX.resolve(), "bin/busybox")
        for name in APPLETS:
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
    return archive.getvalue()


def _settings(image: str, **more: Any) -> models.BatchTaskContainerSettings:
    return models.BatchTaskContainerSettings(image_name=f"{SERVER}/{image}", **more)


def test_task_runs_in_its_container(client: BatchClient, pool: str) -> None:
    job = make_job(client, pool)
    command = "/bin/sh -c 'echo $BAKED_IN; pwd; ls /; cat $AZ_BATCH_NODE_MOUNTS_DIR/training/greeting.txt'"
    task = make_task(client, job, command, container_settings=_settings("tools/shell:1"))
    found = finished(client, job, task)
    baked, folder, *rest = output(client, job, task).decode().splitlines()
    assert found.execution_info.result == "success", output(client, job, task, "stderr.txt")
    assert baked == "galaxy"
    assert folder == f"/mnt/batch/tasks/workitems/{job}/job-1/{task}/wd"
    assert rest[-1] == "from storage"
    assert "usr" not in rest  # the machine's own folders are not there
    assert found.execution_info.container_info.state == "exited"
    assert found.execution_info.container_info.container_id


def test_container_s_work_reaches_storage_and_its_exit_code_the_task(
    client: BatchClient, pool: str, endpoints: dict[str, Any]
) -> None:
    job = make_job(client, pool)
    command = "/bin/sh -c 'echo learnt > $AZ_BATCH_NODE_MOUNTS_DIR/training/made.txt; exit 9'"
    task = make_task(client, job, command, container_settings=_settings("tools/shell:1"))
    assert finished(client, job, task).execution_info.exit_code == 9
    blob = endpoints["blob"]
    with BlobServiceClient(blob["url"], credential=_key(blob), connection_verify=endpoints["ca"]) as service:
        made = service.get_container_client("training").download_blob("made.txt").readall()
    assert made == b"learnt\n"


def test_entry_point_comes_before_the_command(client: BatchClient, pool: str) -> None:
    job = make_job(client, pool)
    task = make_task(client, job, "one 'two three'", container_settings=_settings("tools/entry:1"))
    finished(client, job, task)
    assert output(client, job, task) == b"entry: one two three\n"


def test_image_is_found_by_its_digest_and_no_other(client: BatchClient, pool: str, digest: str) -> None:
    job = make_job(client, pool)
    by_digest = _settings(f"tools/shell@{digest}")
    task = make_task(client, job, "/bin/echo found", container_settings=by_digest)
    finished(client, job, task)
    assert output(client, job, task) == b"found\n"
    wrong = _settings(f"tools/shell@sha256:{'0' * 64}")
    info = finished(client, job, make_task(client, job, "true", container_settings=wrong)).execution_info
    assert (info.failure_info.code, info.failure_info.category) == ("ContainerInvalidImage", "usererror")
    assert info.exit_code is None


def test_terminated_task_leaves_no_container(client: BatchClient, pool: str) -> None:
    job = make_job(client, pool)
    task = make_task(client, job, "/bin/sleep 600", container_settings=_settings("tools/shell:1"))
    wait(lambda: client.get_task(job, task).state == "running")
    client.terminate_task(job, task)
    wait(lambda: client.get_node(pool, client.get_task(job, task).node_info.node_id).state == "idle")
    assert not any("sleep 600" in line for line in _processes())


def _processes() -> Iterator[str]:
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                yield (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue


@pytest.mark.parametrize(
    ("image", "password", "code"),
    [
        (f"{SERVER}/tools/shell:none", None, "ContainerInvalidImage"),
        (f"{SERVER}/tools/shell:1", "wrong", "ContainerInvalidRegistry"),
    ],
)
def test_node_that_cannot_pull_is_unusable(
    client: BatchClient, endpoints: dict[str, Any], image: str, password: str | None, code: str, digest: str
) -> None:
    configuration = _containers(endpoints, image, password=password)
    pool = make_pool(client, waits=False, virtual_machine_configuration=configuration)
    wait(lambda: [node.state for node in client.list_nodes(pool)] == ["unusable"])
    (node,) = client.list_nodes(pool)
    assert node.errors[0].code == code
    client.begin_delete_pool(pool)


@pytest.mark.parametrize(
    "config",
    [
        None,
        {},
        {"config": None},
        {"config": []},
        {"config": {"Env": {}, "Entrypoint": "x", "Cmd": 7}},
        {"config": {"Env": [None, 7], "Cmd": [[]]}},
    ],
)
def test_config_that_is_none_lends_nothing(config: Any) -> None:
    image = Image("a/b:1", Reference("a.example", "b", "1"), is_own=True, config=config)
    assert (image.environment, image.entrypoint, image.command) == ({}, [], [])
