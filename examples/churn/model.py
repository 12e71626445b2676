"""The model of churn, as data: the one file that the platform needs to train, score and serve it.

Named by ``WEIR_MODELS=examples.churn.model:CHURN``.
"""

from __future__ import annotations

from typing import Final

from features.batch import ACTIVITY
from features.definitions import DAY_MS
from features.user_inputs import DAYS_IDLE
from models.definition import Label, ModelDefinition
from models.policy import DecisionPolicy

CHURN: Final = ModelDefinition(
    name="churn",
    columns=(
        DAYS_IDLE,
        # Streaming activity, by the velocity job: as of the user's newest transaction.
        "user_transaction_count_1d",
        "user_transaction_count_7d",
        "user_amount_sum_7d",
        "user_merchant_distinct_1d",
        # Batch aggregates over the 30 days before midnight.
        *ACTIVITY.names,
    ),
    label=Label("count(transaction_id) = 0", horizon_ms=30 * DAY_MS),
    policy=DecisionPolicy(("STAYS", "AT_RISK", "LEAVES"), (0.5, 0.8)),
    description="Whether a user will buy nothing in the next 30 days.",
)
