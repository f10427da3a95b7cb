"""Scores of probes under every admissible penalty, from solves with noise in the last digits of the features."""

from collections.abc import Sequence

from geofm_eval.measure.dense_noise import admitted_dense
from geofm_eval.measure.item_scores import by_score
from geofm_eval.measure.noise import ByScore, described, job_of, solved
from geofm_eval.records import Record
from geofm_eval.workspace import Workspace


def admitted_scores(workspace: Workspace, records: Sequence[Record]) -> dict[str, ByScore]:
    """Return the scores of probes under admissible choices; solve what the cache lacks.

    Args:
        workspace: workspace with the recipe and device of the records.
        records: probe cases of one model and adaptation on the same features, at any taps and targets.

    Returns:
        Scores by task, then by tap and label fraction.

    Raises:
        DataError: the feature blocks are not in the cache, or data, weights or probe differ from those of the records.
        GeofmError: a data, weights, contract or store error of the step that failed.
    """
    own = {record.case.task: record for record in records}
    if workspace.catalog.task(next(iter(own))).dense:
        return {task: admitted_dense(workspace, record) for task, record in own.items()}
    jobs = {task: job_of(workspace, record) for task, record in own.items()}
    solves = solved(workspace, jobs, described(records[0]))
    return {task: by_score(jobs[task], found) for task, found in solves.items()}
