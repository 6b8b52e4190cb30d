"""All workloads, in the order of the table: one file for each family."""

from benchmarks.workload import Workload
from benchmarks.workloads import (
    article,
    ceilings,
    convolutions,
    layers,
    models,
    overhead,
    pictures,
    process,
    updates,
)

ALL: list[Workload] = [
    *ceilings.WORKLOADS,
    *article.WORKLOADS,
    *models.WORKLOADS,
    *convolutions.WORKLOADS,
    *layers.WORKLOADS,
    *updates.WORKLOADS,
    *pictures.WORKLOADS,
    *overhead.WORKLOADS,
    *process.WORKLOADS,
]
