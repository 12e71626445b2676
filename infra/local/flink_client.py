"""How to start a PyFlink client of the local stack."""

from infra.local.jvm import CLIENT_OPTIONS, flink_environment, shipped_java_options
from infra.local.stack import Stack
from operations.backfill.fold import FlinkClient


def flink_client(stack: Stack) -> FlinkClient:
    """Give what a backfill needs to submit its job to the stack's cluster."""
    return FlinkClient(
        python=stack.layout.streams_python,
        directory=stack.layout.repo,
        environment={**stack.environment(), **flink_environment(stack.layout)},
        java_options=(shipped_java_options(stack.layout), *CLIENT_OPTIONS),
        log=stack.layout.log("backfill"),
    )
