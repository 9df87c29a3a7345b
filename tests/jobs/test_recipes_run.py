"""Rendered command lines, run for real with a stand-in for python."""

import re
import shlex
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from jobs import definitions, recipes
from jobs.recipes import JobContext, JobPlan

from .node import Node, split_by_quotes

CONTEXT = JobContext(job_id="job-1", created_at=datetime(2026, 11, 23, 16, 12, tzinfo=UTC), image="r.io/i:1")
RESULTS = "jobs/2026-11-23T16:12_job-1/results"
SPLITTERS = pytest.mark.parametrize(
    "split", [shlex.split, split_by_quotes], ids=["like a shell", "by quotes"]
)


def plan_training(**parameters: object) -> JobPlan:
    given = {"catalogue": "catalogues/w.csv", **parameters}
    return recipes.render(definitions.load("zoobot-training"), given, CONTEXT)


def plan_prediction(**parameters: object) -> JobPlan:
    return recipes.render(
        definitions.load("zoobot-prediction"), {"manifest": "p.json", **parameters}, CONTEXT
    )


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def prepared(node: Node) -> Node:
    node.stand_in("bash-script")
    for name in ("train_model_finetune_on_catalog.py", "predict_catalog_with_model.py"):
        (node.shared / name).write_text("")
    (node.shared / "promote_best_checkpoint_to_model.sh").write_text(
        'printf "%s\\0" promote "$@" >> "$RECORD"; printf "\\n--\\n" >> "$RECORD"'
    )
    return node


def call_of_training(node: Node, options: list[str]) -> list[list[str]]:
    script = f"{node.shared}/train_model_finetune_on_catalog.py"
    results = f"{node.mounts}/training/{RESULTS}"
    return [
        [
            *("python", script, *options),
            *("--checkpoint", f"{node.mounts}/models/zoobot_pretrained_model.ckpt"),
            *("--catalog", f"{node.mounts}/training/catalogues/w.csv", "--save-dir", f"{results}/"),
        ],
        ["promote", results],
    ]


@SPLITTERS
def test_training_calls_the_script_as_zooniverse_does_and_then_promotes(node, split):
    plan = plan_training(epochs=3, run_opts="--schema euclid --fixed-crop '{\"lower_left_x\":0}'")
    result = prepared(node).run(plan.tasks[0].command_line, plan.common_environment, split=split)
    assert result.returncode == 0, result.stderr
    options = ["--num-epochs", "3", "--schema", "euclid", "--fixed-crop", '{"lower_left_x":0}']
    assert node.calls() == call_of_training(node, options)


@SPLITTERS
@pytest.mark.parametrize(
    ("manifest", "called_with"),
    [("catalogues/p.json", "{mounts}/predictions/catalogues/p.json"), ("https://h.example/a/p.json", None)],
)
def test_prediction_calls_the_script_as_zooniverse_does(node, split, manifest, called_with):
    plan = plan_prediction(manifest=manifest, num_samples=2)
    result = prepared(node).run(plan.tasks[0].command_line, plan.common_environment, split=split)
    assert result.returncode == 0, result.stderr
    expected = called_with.format(mounts=node.mounts) if called_with else manifest
    assert node.calls() == [
        [
            *("python", f"{node.shared}/predict_catalog_with_model.py", "--num-samples", "2"),
            *("--checkpoint-path", f"{node.mounts}/models/zoobot.ckpt", "--catalog-url", expected),
            *("--save-path", f"{node.mounts}/predictions/{RESULTS}/predictions.json"),
        ]
    ]


NASTY = [
    "",
    " ",
    "'",
    '"',
    "\\",
    "a b",
    '{"a": "b c"}',
    "; touch pwned",
    "$(touch pwned)",
    "`touch pwned`",
    "${HOME}",
    "*",
    "~",
    "-n",
    "--",
    "a\nb",
    "a\tb\rc",
    "\x01\x7f",
    "\\n",
    "é ✓ 🌌",
    "&& touch pwned",
    "| touch pwned",
    "> pwned",
    "!!",
    "'\\''",
]

words = st.lists(
    st.one_of(
        st.sampled_from(NASTY),
        st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=30),
    ),
    max_size=6,
)


@given(options=words)
@example(options=NASTY)
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_free_text_options_reach_the_script_literally(options):
    typed = shlex.join(options)
    plan = plan_training(run_opts=typed)
    line = next(v.value for v in plan.common_environment if v.name == recipes.ARGUMENTS_VARIABLE)
    assert not re.search(r"[\x00-\x1f\x7f]", line)
    for split in (shlex.split, split_by_quotes):
        with tempfile.TemporaryDirectory() as folder:
            node = prepared(Node(Path(folder)))
            result = node.run(plan.tasks[0].command_line, plan.common_environment, split=split)
            assert result.returncode == 0, result.stderr
            assert node.calls() == call_of_training(node, options)
            assert not list(node.root.rglob("pwned"))


@given(typed=st.text(st.characters(exclude_categories=("Cs",)), max_size=60))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_text_is_either_refused_at_its_field_or_passed_as_a_shell_would_split_it(typed):
    definition = definitions.load("zoobot-training")
    if recipes.validate(definition, {"catalogue": "w.csv", "run_opts": typed}):
        return
    plan = plan_training(run_opts=typed)
    with tempfile.TemporaryDirectory() as folder:
        node = prepared(Node(Path(folder)))
        node.run(plan.tasks[0].command_line, plan.common_environment)
        assert node.calls() == call_of_training(node, shlex.split(typed))


def test_values_in_variables_are_never_run(node):
    name = "$(touch pwned) `touch pwned` \"; touch pwned; '"
    plan = plan_training(
        run_name=name, checkpoint="a $(touch pwned).ckpt", catalogue="b'\"; touch pwned;.csv"
    )
    result = prepared(node).run(plan.tasks[0].command_line, plan.common_environment)
    assert result.returncode == 0, result.stderr
    assert f"{node.mounts}/models/a $(touch pwned).ckpt" in node.calls()[0]
    assert f"{node.mounts}/training/b'\"; touch pwned;.csv" in node.calls()[0]
    assert not list(node.root.rglob("pwned"))


def test_a_script_that_fails_fails_the_task_and_promotes_nothing(node):
    prepared(node)
    (node.programs / "python").write_text("#!/bin/bash\nexit 7\n")
    plan = plan_training()
    assert node.run(plan.tasks[0].command_line, plan.common_environment).returncode == 7
    assert node.calls() == []


def test_fault_g_the_caches_are_exported(node):
    prepared(node)
    (node.programs / "python").write_text('#!/bin/bash\necho "$PYTORCH_KERNEL_CACHE_PATH $HF_HOME"\n')
    plan = plan_training()
    out = node.run(plan.tasks[0].command_line, plan.common_environment).stdout
    assert out.split() == [f"{node.shared}/.cache/torch/kernels", f"{node.shared}/.cache/huggingface"]


def fill(node: Node) -> None:
    node.put("training/code/train_model_finetune_on_catalog.py")
    node.put("training/code/promote_best_checkpoint_to_model.sh")
    node.put("training/code/examples/data.py")
    node.put("training/catalogues/w.csv")


@SPLITTERS
def test_preparation_makes_the_folders_and_brings_the_code(node, split):
    fill(node)
    node.put("models/zoobot_pretrained_model.ckpt")
    plan = plan_training()
    result = node.run(plan.preparation.command_line, plan.common_environment, split=split)
    assert result.returncode == 0, result.stderr
    assert (node.shared / "train_model_finetune_on_catalog.py").exists()
    assert (node.shared / "examples" / "data.py").exists()
    assert (node.mounts / "training" / RESULTS / "checkpoints").is_dir()
    assert (node.shared / ".cache" / "huggingface").is_dir()


def test_preparation_waits_for_a_mount_that_comes_late(node):
    (node.mounts / "models").mkdir()  # an empty folder is there long before its mount is
    fill(node)
    plan = plan_training()
    late = threading.Timer(2.0, lambda: node.put("models/zoobot_pretrained_model.ckpt"))
    started = time.monotonic()
    late.start()
    result = node.run(plan.preparation.command_line, plan.common_environment)
    assert result.returncode == 0, result.stderr
    assert 1.5 < time.monotonic() - started < 20


def test_preparation_says_what_never_came(node):
    fill(node)
    plan = plan_training(mount_wait_seconds=1)
    result = node.run(plan.preparation.command_line, plan.common_environment)
    assert result.returncode == 66
    assert f"{node.mounts}/models/zoobot_pretrained_model.ckpt" in result.stderr
    assert not list(node.shared.iterdir())


def test_preparation_of_a_prediction_does_not_look_for_an_address_on_the_disk(node):
    node.put("predictions/code/predict_catalog_with_model.py")
    node.put("models/zoobot.ckpt")
    plan = plan_prediction(manifest="https://h.example/p.json", mount_wait_seconds=1)
    assert node.run(plan.preparation.command_line, plan.common_environment).returncode == 0
    local = plan_prediction(manifest="p.json", mount_wait_seconds=1)
    assert node.run(local.preparation.command_line, local.common_environment).returncode == 66
    node.put("predictions/p.json")
    assert node.run(local.preparation.command_line, local.common_environment).returncode == 0


@pytest.mark.parametrize("requires", [False, True])
def test_gpu_check_reports_what_it_finds(node, requires):
    (node.programs / "python").unlink()
    (node.programs / "python").symlink_to(sys.executable)
    plan = recipes.render(
        definitions.load("gpu-check"), {"requires_gpu": requires, "run_name": "nonce-7"}, CONTEXT
    )
    result = node.run(plan.tasks[0].command_line, plan.common_environment)
    assert "run name: nonce-7" in result.stdout
    assert "torch: not installed" in result.stdout
    assert "torch.cuda.is_available: False" in result.stdout
    assert result.returncode == int(requires), result.stderr
