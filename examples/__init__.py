"""Models of your own on the platform, each from its definition to its answers: `docs/models.md`."""
