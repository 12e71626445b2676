"""How to start a PyFlink client of the local stack."""

from infra.local.jvm import CLIENT_OPTIONS, flink_environment, shipped_java_options
from infra.local.stack import Stack
from operations.flink_client import FlinkClient


def flink_client(stack: Stack, *, log: str) -> FlinkClient:
    """Give what is needed to submit a job to the stack's cluster.

    Args:
        stack: with the cluster.
        log: name of the log that keeps the output of a client that failed.
    """
    return FlinkClient(
        python=stack.layout.streams_python,
        directory=stack.layout.repo,
        environment={**stack.environment(), **flink_environment(stack.layout)},
        java_options=(shipped_java_options(stack.layout), *CLIENT_OPTIONS),
        log=stack.layout.log(log),
    )
