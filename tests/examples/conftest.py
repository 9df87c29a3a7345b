"""The demo's files, made once, and a node's environment to run its scripts in."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from examples.catalogue.writer import write

Run = subprocess.CompletedProcess[str]


@pytest.fixture(scope="session")
def demo_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders per container as the generator writes them."""
    folder = tmp_path_factory.mktemp("demo")
    write(folder, seed=2024, limit=None, shuffles=False)
    return folder


@pytest.fixture
def mounts(demo_files: Path, tmp_path: Path) -> Path:
    """A copy of the containers, as a node mounts them."""
    return Path(shutil.copytree(demo_files, tmp_path / "fsmounts"))


@pytest.fixture
def run_script(mounts: Path, tmp_path: Path) -> Callable[..., Run]:
    """Run a script the way a task does: from the node's shared folder, with the job's environment."""
    shared = tmp_path / "shared"
    shutil.copytree(mounts / "training" / "code", shared)
    work = tmp_path / "wd"
    work.mkdir()

    def run(script: str, *arguments: object, run_name: str = "", **variables: str) -> Run:
        program = "bash" if script.endswith(".sh") else sys.executable
        environment = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "AZ_BATCH_NODE_MOUNTS_DIR": str(mounts),
            "AZ_BATCH_JOB_ID": "job-1",
            "MODELS_CONTAINER_MOUNT_DIR": "models",
            "ZOOBATCH_RUN_NAME": run_name,
            **variables,
        }
        command = [program, str(shared / script), *map(str, arguments)]
        return subprocess.run(
            command, env=environment, cwd=work, capture_output=True, text=True, timeout=250, check=False
        )

    return run
