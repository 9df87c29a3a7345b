"""The table of VM sizes that the project carries, as plain values."""

import csv
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

TABLE = Path(__file__).with_name("vm_sizes.csv")


def read_sizes(path: Path = TABLE) -> Iterator[dict[str, Any]]:
    """Yield one dict of VmSize columns per row of the table; empty cells mean the source did not say."""
    with path.open(newline="", encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            yield {
                "name": row["name"],
                "family": row["family"],
                "gpu_model": row["gpu_model"],
                "gpu_count": row["gpu_count"] if row["gpu_count"] != "0" else "",
                "has_gpu": row["gpu_count"] != "0",
                "gpu_memory_gib_total": _number(row["gpu_memory_gib_total"]),
                "vcpus": _number(row["vcpus"]),
                "memory_gib": _number(row["memory_gib"]),
                "temp_disk_gib": _number(row["temp_disk_gib"]),
                "rdma": {"yes": True, "no": False}.get(row["rdma"]),
                "cuda_compute_capability": row["cuda_compute_capability"],
                "driver": row["driver"],
                "needs_generation_2": row["needs_generation_2"] == "yes",
                "note": row["note"],
                "retirement_date": date.fromisoformat(row["retirement_date"])
                if row["retirement_date"]
                else None,
                "source": row["source"],
                "sourced_on": date.fromisoformat(row["sourced_on"]),
            }


def _number(cell: str) -> int | None:
    return round(float(cell)) if cell else None
