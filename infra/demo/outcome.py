"""The outcome of a demo, and whether the system did what it promises."""

from dataclasses import dataclass

from infra.simulation.run_summary import RunSummary


@dataclass(frozen=True, slots=True)
class DemoOutcome:
    """The result of one demo.

    Attributes:
        summary: the figures of the live traffic.
        version: of the model that had to decide.
        contradictions: repeated decisions that differ from the first one.
    """

    summary: RunSummary
    version: str
    contradictions: int

    @property
    def is_well(self) -> bool:
        """Whether nothing was lost or wrong. Repeats are allowed, contradictions are not."""
        summary = self.summary
        return (
            summary.produced > 0
            and summary.produced == summary.features == summary.decisions
            and summary.lost == 0
            and summary.dead_letters == 0
            and summary.feature_mismatches == 0
            and summary.model_version == self.version
            and self.contradictions == 0
        )
