"""The settings of the deployment that a command works on."""

from infra.local.stack import Stack
from schemas.settings import Settings


def deployment_settings() -> Settings:
    """Give the settings with paths resolved from the checkout, as the local stack resolves them."""
    return Stack(Settings()).settings
