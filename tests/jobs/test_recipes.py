"""Definitions, their parameters and the plans made of them."""

import json
from datetime import UTC, datetime

import pytest

from jobs import definitions, recipes
from jobs.parameters import read
from jobs.recipes import JobContext, JobPlan

IMAGE = "zoobot.azurecr.io/pytorch:1.10.1-gpu-py3"
JOB = "81e0bddd-26b8-4d80-baa2-80d4294adbd5"
CONTEXT = JobContext(job_id=JOB, created_at=datetime(2026, 11, 23, 16, 12, 59, tzinfo=UTC), pool_image=IMAGE)
CATALOGUE = {"catalogue": "catalogues/staging/w.csv"}


def training(**parameters: object) -> JobPlan:
    return recipes.render(definitions.load("zoobot-training"), {**CATALOGUE, **parameters}, CONTEXT)


def problems(name: str = "zoobot-training", **parameters: object) -> dict[str, str]:
    given = {**CATALOGUE, **parameters} if name == "zoobot-training" else parameters
    return recipes.validate(definitions.load(name), given)


def value(plan: JobPlan, name: str) -> str:
    return next(variable.value for variable in plan.common_environment if variable.name == name)


@pytest.mark.parametrize("definition", definitions.load_all(), ids=lambda d: d["name"])
def test_shipped_definitions_are_whole(definition):
    parameters = read(definition)
    assert all(parameter.label and parameter.help for parameter in parameters)
    asked = {entry["parameter"] for entry in definition["environment"] if "parameter" in entry}
    assert asked <= {parameter.name for parameter in parameters}
    for script in [
        definition.get("preparation", definition["tasks"][0])["script"],
        definition["tasks"][0]["script"],
    ]:
        assert recipes.command_line(tuple(script)).count("'") == 2


def test_training_has_the_settings_of_the_workflow():
    plan = training(run_opts="--schema euclid --fixed-crop '{\"lower_left_x\":0}' ")
    folder = f"jobs/2026-11-23T16:12_{JOB}"
    expected = {
        "CODE_DIR_PATH": "code",
        "TRAINING_CONTAINER_MOUNT_DIR": "training",
        "MODELS_CONTAINER_MOUNT_DIR": "models",
        "MANIFEST_PATH": "catalogues/staging/w.csv",
        "TRAINING_JOB_RESULTS_DIR": f"{folder}/results",
        "WANDB_API_KEY": "",
        "ZOOBOT_CHECKPOINT_TARGET": "zoobot.ckpt",
        "HONEYBADGER_API_KEY": "",
    }
    assert [v.name for v in plan.common_environment][: len(expected)] == list(expected)
    assert {name: value(plan, name) for name in expected} == expected
    task = plan.tasks[0]
    assert (task.id, task.image, task.run_options) == ("1", IMAGE, "--ipc=host")
    assert (task.working_directory, task.scope, task.elevation) == ("taskWorkingDirectory", "task", "admin")
    assert [(o.pattern, o.container, o.path, o.condition) for o in task.output_files] == [
        (f"../{name}.txt", "training", f"{folder}/task_logs/job_{JOB}_task_1_{name}.txt", "taskcompletion")
        for name in ("stderr", "stdout")
    ]
    assert plan.preparation is not None
    assert (plan.preparation.max_task_retry_count, plan.preparation.wait_for_success) == (3, True)
    assert (plan.preparation.scope, plan.preparation.elevation) == ("task", "admin")
    assert plan.on_all_tasks_complete == "terminatejob"
    assert (plan.results_container, plan.results_dir) == ("training", f"{folder}/results")
    assert plan.mounts == ("training", "models")
    assert {variable.secret for variable in plan.common_environment} == {
        "",
        "WANDB_API_KEY",
        "HONEYBADGER_API_KEY",
    }


def test_prediction_has_the_settings_of_the_workflow():
    address = "https://kadeactivelearning.blob.core.windows.net/predictions/catalogues/staging/p.json"
    plan = recipes.render(definitions.load("zoobot-prediction"), {"manifest": address}, CONTEXT)
    names = [v.name for v in plan.common_environment]
    assert names[:7] == [
        "CODE_DIR_PATH",
        "PREDICTIONS_CONTAINER_MOUNT_DIR",
        "MODELS_CONTAINER_MOUNT_DIR",
        "MANIFEST_URL",
        "PREDICTIONS_JOB_RESULTS_DIR",
        "ZOOBOT_CHECKPOINT_TARGET",
        "HONEYBADGER_API_KEY",
    ]
    assert value(plan, "MANIFEST_URL") == address
    assert plan.results_container == "predictions"


def test_fault_h_folders_of_a_job_are_stamped_once():
    plan = training()
    paths = [output.path for output in plan.tasks[0].output_files]
    assert {path.split("/")[1] for path in [plan.results_dir, *paths]} == {f"2026-11-23T16:12_{JOB}"}


def test_the_same_question_gives_the_same_plan_and_it_survives_storage():
    plan = training(epochs="3", run_name="nonce-1")
    assert plan == training(epochs=3, run_name="nonce-1")
    assert JobPlan.from_dict(json.loads(json.dumps(plan.as_dict()))) == plan
    assert plan.display_name == "nonce-1"


def test_blank_parameters_leave_the_script_its_own_defaults():
    assert value(training(), "RUN_OPTS") == ""
    assert value(training(epochs="", patience=None, debug="off"), "RUN_OPTS") == ""
    assert value(training(epochs="3", debug="on"), "RUN_OPTS") == "--num-epochs 3 --debug"


def test_a_job_may_name_its_image_and_time_limit():
    context = JobContext(
        job_id="a",
        created_at=CONTEXT.created_at,
        image="r.io/other:2",
        pool_image=IMAGE,
        wall_clock_minutes=5,
    )
    task = recipes.render(definitions.load("zoobot-training"), CATALOGUE, context).tasks[0]
    assert (task.image, task.max_wall_clock_minutes) == ("r.io/other:2", 5)


def test_a_check_runs_on_the_node_itself_where_its_pool_has_no_image():
    context = JobContext(job_id="a", created_at=CONTEXT.created_at)
    assert recipes.render(definitions.load("gpu-check"), {}, context).tasks[0].image == ""
    with pytest.raises(ValueError, match="no container image"):
        recipes.render(definitions.load("zoobot-training"), CATALOGUE, context)


@pytest.mark.parametrize(
    ("field", "given", "message"),
    [
        ("catalogue", "", "needed"),
        ("catalogue", "../../etc/passwd.csv", "without '.'"),
        ("catalogue", "catalogues/w.txt", "end in .csv"),
        ("catalogue", "a\\b.csv", "backslashes"),
        ("epochs", "-3", "1 or more"),
        ("epochs", "0", "1 or more"),
        ("epochs", "ten", "whole number"),
        ("epochs", "2.5", "whole number"),
        ("epochs", True, "whole number"),
        ("schema", "galaxies", "Choose one of cosmic_dawn"),
        ("fixed_crop", "{", "not JSON"),
        ("fixed_crop", "[1]", "exactly lower_left_x"),
        ("fixed_crop", {"lower_left_x": 1}, "exactly lower_left_x"),
        (
            "fixed_crop",
            {"lower_left_x": "a", "lower_left_y": 0, "upper_right_x": 1, "upper_right_y": 1},
            "lower_left_x has to be a number",
        ),
        ("run_opts", "--note 'open", "cannot be split"),
        ("run_opts", "x" * 9000, "At most 8192"),
        ("run_name", "two\nlines", "One line"),
        ("training_script", "/code/../evil.py", "without '.'"),
        ("training_script", "train.sh", "end in .py"),
        ("promote_script", "promote.py", "end in .sh"),
        ("checkpoint", "https://example.org/models/x.ckpt?sig=1", None),
        ("checkpoint", "https://example.org/other/x.ckpt", "container 'models'"),
        ("checkpoint", "ftp://example.org/models/x.ckpt", "http or https"),
        ("debug", "perhaps", "yes or no"),
        ("mystery", "1", "no such parameter"),
    ],
)
def test_bad_input_gets_its_message_at_its_field(field, given, message):
    found = problems(**{field: given})
    assert set(found) <= {field}
    if message is None:
        assert found == {}
    else:
        assert message in found[field]


def test_fault_j_the_base_checkpoint_is_never_a_target():
    found = problems(checkpoint="https://h.example/account/models/zoobot.ckpt")
    assert set(found) == {"checkpoint_target"}
    assert "overwritten" in found["checkpoint_target"]


def test_addresses_of_a_container_become_paths_in_its_mount():
    plan = training(checkpoint="https://kade.blob.core.windows.net/models/jobs/a%20b/x.ckpt")
    assert value(plan, "ZOOBOT_BASE_CHECKPOINT") == "jobs/a b/x.ckpt"
    emulated = training(
        checkpoint="https://127.0.0.1:9/zoobatchdemo/models/x.ckpt", catalogue="/catalogues/w.csv"
    )
    assert value(emulated, "ZOOBOT_BASE_CHECKPOINT") == "x.ckpt"
    assert value(emulated, "MANIFEST_PATH") == "catalogues/w.csv"


def test_values_may_come_as_json_or_as_text():
    crop = {"lower_left_x": 0, "lower_left_y": 1.5, "upper_right_x": 40, "upper_right_y": 40}
    as_text = training(fixed_crop=json.dumps(crop))
    assert as_text == training(fixed_crop=crop)
    assert '{"lower_left_x":0,"lower_left_y":1.5' in value(as_text, "RUN_OPTS")


@pytest.mark.parametrize("line", ["echo 'x'", "echo a\\b", "echo a\necho b", ""])
def test_scripts_that_could_be_split_two_ways_are_refused(line):
    with pytest.raises(ValueError, match="single quote"):
        recipes.command_line((line,))


@pytest.mark.parametrize(
    "entry",
    [{"name": "a", "label": "A", "type": "colour"}, {"name": "a", "label": "A", "type": "text", "size": 3}],
)
def test_a_broken_definition_is_refused(entry):
    with pytest.raises(ValueError, match="unknown"):
        read({"parameters": [entry]})
