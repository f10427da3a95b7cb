"""Scores of probes under every admissible penalty, solved again with noise in the last digits of the features."""

from collections.abc import Sequence

from geofm_eval.measure.dense_noise import admitted_dense
from geofm_eval.measure.item_scores import by_score
from geofm_eval.measure.noise import ByScore, described, job_of, solved
from geofm_eval.records import Record
from geofm_eval.workspace import Workspace


def admitted_scores(workspace: Workspace, records: Sequence[Record]) -> dict[str, ByScore]:
    """What admissible choices make of the scores of some probes, solved where the cache lacks a solve.

    Args:
        workspace: under the recipe and device of the records.
        records: probe cases of one model and adaptation on the same features, whatever their taps and targets.

    Returns:
        By task, then tap and label fraction.

    Raises:
        DataError: the feature blocks are not in the cache, or data, weights or probe are not those of the records.
        GeofmError: a data, weights, contract or store error of the step that failed.
    """
    own = {record.case.task: record for record in records}
    if workspace.catalog.task(next(iter(own))).dense:
        return {task: admitted_dense(workspace, record) for task, record in own.items()}
    jobs = {task: job_of(workspace, record) for task, record in own.items()}
    solves = solved(workspace, jobs, described(records[0]))
    return {task: by_score(jobs[task], found) for task, found in solves.items()}
