"""A comparison with what it fails on."""

from dataclasses import dataclass

from geofm_eval.compare import FailOn, RunComparison
from geofm_eval.report.gate.sentences import headline


@dataclass(frozen=True)
class Judged:
    """A run against its baseline, and on which verdicts the gate fails; see :meth:`RunComparison.failures`."""

    found: RunComparison
    fail_on: FailOn = "regression"
    require_all: bool = False

    @property
    def fails(self) -> bool:
        """Whether the gate fails."""
        return bool(self.found.failures(self.fail_on, self.require_all))

    @property
    def headline(self) -> str:
        """Whether the gate holds, and how many cases are worse."""
        return headline(self.found, self.fail_on, self.require_all)
