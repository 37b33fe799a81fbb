"""Do the jobs of a reproduction, in worker processes; what is done is kept, and never done again."""

from __future__ import annotations

import gzip
import shutil
import time
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from aldesign.datasets.table import read_table
from aldesign.errors import OracleError
from aldesign.execution import LostWorker, Workers, executor, worker_count
from aldesign.files import open_atomic, write_json, write_text
from aldesign.learning.threads import pin_threads
from aldesign.reproduce.labelling import campaign_of, first_above, joined, labels_of, run_campaign, write_rows
from aldesign.reproduce.paper import CANDIDATE_EV, LABELS
from aldesign.reproduce.pool import Recovery, eligible, generate_pool, recovered_of_new, select
from aldesign.reproduce.screening import train_and_judge
from aldesign.reproduce.study import POOL, Job, Study, stages
from aldesign.reproduce.tables import Tables, find_tables, load_tables
from aldesign.seeds import torch_seed

Progress = Callable[[str], None]
START = Path("start", "exp4.csv")  # where campaigns/paper/exp4.yaml looks for its rows


def reproduce(
    study: Study,
    experiments: Sequence[str],
    *,
    workers: int | None = None,
    progress: Progress | None = None,
    after: Callable[[], None] | None = None,
) -> list[Job]:
    """Do what is left to do of a study; return its jobs.

    Args:
        study: Begun before.
        experiments: Which of the paper's.
        workers: Processes; results do not depend on it. None for one per core.
        progress: Takes lines of text.
        after: Called whenever a stage is done.

    Raises:
        InputError: There is no such experiment, or a table cannot be used.
        OracleError: A worker process died again and again.

    """
    planned = [stages(study, experiments, model) for model in study.models]
    jobs = [job for plan in planned for stage in plan for job in stage]
    count = worker_count("auto" if workers is None else workers)
    made_pool(study, progress)
    write_start(study)
    done = sum(study.record(job).is_file() for job in jobs)
    with Workers(partial(executor, "serial" if count == 1 else "processes", count)) as pool:
        for plan in planned:
            for stage in plan:
                left = [job for job in stage if not study.record(job).is_file()]
                if left and progress:
                    more = f" and {len(left) - 1} more" if len(left) > 1 else ""
                    progress(f"begun: {left[0].name}{more}")
                for index, told in pool.run(do, [(study, job) for job in left]):
                    if isinstance(told, LostWorker):
                        raise OracleError(f"{left[index].name}: {told.reason}", "is there memory for it?")
                    done += 1
                    if progress:
                        progress(f"job {done} of {len(jobs)}: {told}")
                if left and after:
                    after()
    return jobs


def do(item: tuple[Study, Job]) -> str:
    """Do one job, keep its result, and return it in words."""
    study, job = item
    pin_threads(1)
    started = time.monotonic()
    tables = load_tables(find_tables(study.data), study.seed)
    if job.sample.endswith("-campaign"):
        found = _label(study, job, tables)
    elif job.sample == "exp4":
        found = _find_wide(study, job, tables)
    else:
        found = _train(study, job, tables)
    write_json(study.record(job), {"sample": job.sample, "model": job.model, "repeat": job.repeat + 1, **found})
    shutil.rmtree(study.checkpoint(job), ignore_errors=True)
    shown = ", ".join(f"{key} {_short(value)}" for key, value in found.items() if key in _SHOWN and value is not None)
    return f"{job.name}: {shown}, {time.monotonic() - started:.0f} s"


def _short(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


_SHOWN = ("r2", "test_r2", "candidates", "recovery", "labels", "best_ev", "iterations")


def _train(study: Study, job: Job, tables: Tables) -> dict[str, Any]:
    base = job.sample.replace("-ours", "-bs")
    rows: Sequence[Any] = tables.samples[base]
    if base != job.sample:
        added = read_table(study.labelled(job.experiment, job.model)).rows
        rows = joined(rows, added, tables.test)
    full = job.sample == "exp1"
    model, found = train_and_judge(
        job.model,
        study.options(job.model, oracle=full),
        rows,
        tables.test,
        seed=study.seed,
        repeat=job.repeat,
        checkpoint=study.checkpoint(job),
    )
    chosen = select(model, _eligible(study.out / POOL))
    wanted = study.selected(job.model)
    if full and job.repeat == 0:
        model.save(study.oracle(job.model))
        write_text(wanted, "".join(f"{formula}\n" for formula in chosen))
    right, known = wanted.read_text(encoding="utf-8").split(), {row.formula for row in rows}
    return found | Recovery.of(chosen, right).record() | recovered_of_new(chosen, right, known)


def _label(study: Study, job: Job, tables: Tables) -> dict[str, Any]:
    folder = study.campaign(job)
    start = folder.with_name(f"{job.name}.csv")
    write_rows(start, tables.samples[f"{job.experiment}-bs"])
    budget = study.labels or LABELS[job.experiment]
    seed = torch_seed(study.seed, 0, job.sample) % 2**31
    oracle = study.oracle(job.model)
    spec = campaign_of(job.experiment, start, job.model, oracle, seed, {"stop.budget": budget})
    state = run_campaign(spec, folder)
    labels = labels_of(state)
    if not labels:
        raise OracleError(f"the campaign in {folder} ended without a label", f"look into it: aldesign inspect {folder}")
    write_rows(study.labelled(job.experiment, job.model), labels)
    values = [row.value for row in labels]
    wide = sum(value >= CANDIDATE_EV for value in values)
    return {"labels": len(labels), "wide": wide, "iterations": state.iterations, "best_ev": max(values)}


def _find_wide(study: Study, job: Job, tables: Tables) -> dict[str, Any]:
    folder = study.campaign(job)
    start = folder.with_name(f"{job.name}.csv")
    rows = tables.low_rows(study.seed, job.repeat)
    write_rows(start, rows)
    seed = torch_seed(study.seed, job.repeat, job.sample) % 2**31
    state = run_campaign(campaign_of("exp4", start, job.model, study.oracle(job.model), seed), folder)
    return {"rows": len(rows), "widest_start_ev": max(row.value for row in rows), **first_above(state)}


def seconds_left(study: Study, jobs: Sequence[Job], workers: int | None = None) -> float:
    """Return a rough guess of the time that the jobs not yet done take, in seconds, from what one core needed."""
    left = [job for job in jobs if not study.record(job).is_file()]
    spent = 0.0 if (study.out / POOL).is_file() else _POOL_SECONDS * study.pool / 100_000
    for job in left:
        kind = "campaign" if job.sample.endswith("-campaign") else job.sample.partition("-")[0]
        spent += _SECONDS.get((job.model, kind), _SECONDS.get(("", kind), _SECONDS[job.model, ""]))
    return spent / min(worker_count("auto" if workers is None else workers), max(1, len(left)))


# Seconds of one core at the default settings
_POOL_SECONDS = 60.0
_SECONDS = {
    ("random_forest", ""): 8.0,
    ("stoichiometry_graph", ""): 20.0,
    ("random_forest", "exp1"): 120.0,
    ("stoichiometry_graph", "exp1"): 350.0,
    ("", "campaign"): 60.0,
    ("", "exp4"): 20.0,
}


def made_pool(study: Study, progress: Progress | None) -> None:
    """Generate the pool that is screened, where it is not there yet."""
    path = study.out / POOL
    if not path.is_file():
        with open_atomic(path) as stream:
            stream.writelines(f"{formula}\n" for formula in generate_pool(study.pool, study.seed, progress))


@lru_cache(maxsize=1)
def _eligible(path: Path) -> list[str]:
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        return eligible(stream.read().split())


def write_start(study: Study) -> None:
    """Write the rows that the first repeat of experiment 4 starts from, for running it by hand."""
    if not (study.out / START).is_file():
        write_rows(study.out / START, load_tables(find_tables(study.data), study.seed).low_rows(study.seed, 0))
