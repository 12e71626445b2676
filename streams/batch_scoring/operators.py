"""Opens a stage of batch scoring for a Flink task.

Runs inside the TaskManager: ``streams/jvm/weir/PartScorer.java`` opens a stage in the thread of its
task. ``job.py`` puts the operator into the graph.
"""

from pathlib import Path

from streams.batch_scoring.stage import ScoringStage


def open_stage(directory: str) -> ScoringStage:
    """Open a stage; each task calls this once, in its thread.

    Args:
        directory: of the run, with its plan and its model.

    Raises:
        ModelRefusedError: the model would not score as it did in training.
    """
    return ScoringStage(Path(directory))
