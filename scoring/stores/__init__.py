"""The adapters of scoring: Redis for features and first decisions, MLflow for the champion."""
