"""The demo's catalogue: real galaxies, honest labels, the same files from the same seed."""

import csv
import hashlib
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from examples.catalogue import labels, sky
from examples.catalogue.writer import BASE_CHECKPOINT, CATALOGUE, FOLDER, MANIFEST, choose, write


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_catalogue_is_in_zooniverses_form(demo_files):
    rows = rows_of(demo_files / "training" / CATALOGUE)
    assert len(rows) > 300
    assert list(rows[0]) == ["id_str", "file_loc", *labels.COLUMNS]
    for row in rows:
        assert row["file_loc"].startswith("/mnt/batch/tasks/fsmounts/training/catalogues/demo/images/")
        assert sum(int(row[name]) for name in labels.SHAPES) == labels.REPEATS
        assert (demo_files / row["file_loc"].removeprefix("/mnt/batch/tasks/fsmounts/")).is_file()


def test_every_answer_is_common_enough_to_be_learnt(demo_files):
    rows = rows_of(demo_files / "training" / CATALOGUE)
    leading = Counter(max(labels.SHAPES, key=lambda name: int(row[name])) for row in rows)
    assert min(leading[name] for name in labels.SHAPES) > 0.2 * len(rows)


def test_the_manifest_is_in_kades_form_and_asks_about_other_galaxies(demo_files):
    manifest = json.loads((demo_files / "predictions" / MANIFEST).read_text())
    assert len(manifest) > 100
    for address, metadata in manifest:
        assert set(json.loads(metadata)) == {"project_id", "subject_set_id", "subject_id", "frame_id"}
        assert (demo_files / address.removeprefix("/mnt/batch/tasks/fsmounts/")).is_file()
    asked = {json.loads(metadata)["subject_id"] for _, metadata in manifest}
    assert not asked & {row["id_str"] for row in rows_of(demo_files / "training" / CATALOGUE)}


def test_images_are_the_pictures_own_pixels(demo_files):
    picture = sky.picture()
    for row in rows_of(demo_files / "training" / FOLDER / "measurements.csv")[::50]:
        container = "training" if row["used_for"] == "training" else "predictions"
        with Image.open(demo_files / container / FOLDER / "images" / f"{row['id_str']}.png") as image:
            pixels = np.asarray(image)
        top, left = round(float(row["y"])) - sky.STAMP // 2, round(float(row["x"])) - sky.STAMP // 2
        near = [
            np.array_equal(
                pixels, picture[top + dy : top + dy + sky.STAMP, left + dx : left + dx + sky.STAMP]
            )
            for dy in (-1, 0, 1)
            for dx in (-1, 0, 1)
        ]
        assert any(near)


def test_labels_follow_the_measurements(demo_files):
    measured = {row["id_str"]: row for row in rows_of(demo_files / "training" / FOLDER / "measurements.csv")}
    rows = rows_of(demo_files / "training" / CATALOGUE)
    agree = [
        max(labels.SHAPES, key=lambda name: int(row[name])).endswith(
            measured[row["id_str"]]["measured_shape"]
        )
        for row in rows
    ]
    assert sum(agree) > 0.95 * len(agree)


def test_the_same_seed_writes_the_same_bytes(demo_files, tmp_path):
    write(tmp_path, seed=2024, limit=None, shuffles=False)
    assert digests(tmp_path) == digests(demo_files)


def test_shuffling_keeps_the_votes_but_not_whose_they_are():
    plain = choose(seed=1, limit=120, shuffles=False)
    shuffled = choose(seed=1, limit=120, shuffles=True)
    assert [entry.galaxy.x for entry in plain] == [entry.galaxy.x for entry in shuffled]
    votes = [[tuple(entry.votes.values()) for entry in entries] for entries in (plain, shuffled)]
    assert sorted(votes[0]) == sorted(votes[1])
    assert sum(a == b for a, b in zip(*votes, strict=True)) < 100


def test_the_provenance_says_what_the_labels_are(demo_files):
    text = (demo_files / "training" / FOLDER / "README.md").read_text()
    assert "looked at by nobody" in text
    assert (demo_files / "models" / BASE_CHECKPOINT).stat().st_size > 10_000


@pytest.mark.parametrize(
    ("long", "wide", "ellipticity"), [(4.0, 4.0, 0.0), (6.0, 3.0, 0.5), (8.0, 2.0, 0.75)]
)
def test_ellipticity_of_a_known_shape(long, wide, ellipticity):
    y, x = np.indices((81, 81)) - 40
    light = np.exp(-((x / long) ** 2 + (y / wide) ** 2) / 2)[..., None].repeat(3, axis=2) * 100
    found = sky.measure(light, np.ones((81, 81), bool), 1.0)
    assert found.ellipticity == pytest.approx(ellipticity, abs=0.01)
    assert found.colour == pytest.approx(1.0)


def test_concentration_of_a_known_shape():
    y, x = np.indices((81, 81)) - 40
    light = np.exp(-((x**2 + y**2) / 2.5**2) / 2)[..., None].repeat(3, axis=2) * 100
    found = sky.measure(light, np.ones((81, 81), bool), 1.0)
    assert found.concentration == pytest.approx(1 - np.exp(-0.5), abs=0.03)
