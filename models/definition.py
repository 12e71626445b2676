"""The definition of a model: everything the platform needs to train, score and serve it, as data.

One Python file declares one (`docs/models.md`). The setting ``models`` names the definitions of a
deployment, and `models.catalogue` loads them. The model of transactions, which decides in the
stream, is one of them. Pure.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from features.batch import BATCH_VIEWS, BatchView
from features.definitions import DAY_MS, MERCHANT_FEATURES, ON_DEMAND_FEATURES, ValueType
from features.user_inputs import USER_INPUTS
from models.encoding.vector import AMOUNT_COLUMN, CATEGORY_COLUMNS
from models.errors import ModelDefinitionError
from models.policy import DecisionPolicy

ColumnType: TypeAlias = ValueType | Literal["string"]

_TEXT: Final[ColumnType] = "string"
_TYPES: Final[Mapping[str, ColumnType]] = {
    AMOUNT_COLUMN: "int64",
    **{feature.name: feature.value_type for feature in MERCHANT_FEATURES},
    **{feature.name: feature.value_type for feature in ON_DEMAND_FEATURES},
    **dict.fromkeys(CATEGORY_COLUMNS, _TEXT),
    **USER_INPUTS,
}
_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,62}")
_ROUTES: Final = re.compile(r"[A-Za-z0-9_.]+:[A-Za-z0-9_]+")


@dataclass(frozen=True, slots=True)
class Label:
    """What a model of users learns: a fact of a user that is known some time later.

    The platform computes it from the archive, for each user and time of the data set, over the
    user's transactions at or after that time and before its horizon.

    Attributes:
        sql: an aggregate over these transactions that is true or false, in the SQL of DuckDB.
            Columns: ``transaction_id``, ``event_time_ms``, ``amount_minor``; all null in the one
            row that a user without such transactions has.
        horizon_ms: how long after the time the label is known, ms.

    Examples:
        No transaction in the next 30 days:

        >>> Label("count(transaction_id) = 0", horizon_ms=30 * DAY_MS).horizon_ms // DAY_MS
        30
    """

    sql: str
    horizon_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelDefinition:
    """A model that the platform trains, scores and serves.

    Attributes:
        name: of the registered model in MLflow and in the routes: lower-case letters, digits and
            hyphens.
        columns: of the input vector, in their order. Those of `USER_INPUTS` are read from Feast's
            online store and joined from the archive by the platform.
        policy: turns scores into decisions.
        label: what it learns; None if it is trained elsewhere.
        entity: of what a prediction is. Only the model of transactions has another one.
        active_ms: users without a transaction for longer are neither learned from nor scored in
            bulk, ms.
        routes: ``module:NAME`` of routes of its own, a `scoring.http.model_routes.ModelRoutes`;
            only the API imports it. With routes of its own, a model may have columns that its
            routes fill.
        description: one sentence for those who list models.

    Raises:
        ModelDefinitionError: says which attribute is wrong, and what it may be.
    """

    name: str
    columns: tuple[str, ...]
    policy: DecisionPolicy
    label: Label | None = None
    entity: Literal["user", "transaction"] = "user"
    active_ms: int = 30 * DAY_MS
    routes: str = ""
    description: str = ""

    def __post_init__(self) -> None:
        """Refuse what the platform could not serve."""
        if not _NAME.fullmatch(self.name) and self.entity == "user":
            raise ModelDefinitionError(
                f"model name {self.name!r:.80}: at most 63 lower-case letters, digits and hyphens, "
                "a letter first"
            )
        if self.routes and not _ROUTES.fullmatch(self.routes):
            raise ModelDefinitionError(
                f"model {self.name}: routes {self.routes!r:.80} must be module:NAME"
            )
        if not self.columns or len(set(self.columns)) != len(self.columns):
            raise ModelDefinitionError(
                f"model {self.name}: columns {list(self.columns)} must be some, each once"
            )
        if self.entity == "user":
            self._check_user_columns()

    def _check_user_columns(self) -> None:
        unknown = [column for column in self.columns if column not in USER_INPUTS]
        if unknown and not self.routes:
            raise ModelDefinitionError(
                f"model {self.name}: columns {unknown} are no inputs of users; known are "
                f"{sorted(USER_INPUTS)}"
            )
        views = [view.name for view in BATCH_VIEWS if set(view.names) & set(self.columns)]
        if len(views) > 1:
            raise ModelDefinitionError(
                f"model {self.name}: its columns are of several views of batch features, "
                f"{', '.join(views)}; take those of one"
            )

    @property
    def is_read_from_the_store(self) -> bool:
        """Whether the platform can fill every column by itself, from the entity alone."""
        return self.entity == "user" and all(column in USER_INPUTS for column in self.columns)

    @property
    def batch_view(self) -> BatchView | None:
        """The view of its batch features; None if it takes none."""
        return next((view for view in BATCH_VIEWS if set(view.names) & set(self.columns)), None)

    @property
    def column_types(self) -> dict[str, ColumnType]:
        """The type of each column; double for those of the model's own routes."""
        return {column: _TYPES.get(column, "double") for column in self.columns}

    @property
    def data_digest(self) -> str:
        """16 hexadecimal digits over what the rows of its data set depend on."""
        label = None if self.label is None else (self.label.sql, self.label.horizon_ms)
        content = json.dumps([self.columns, label, self.active_ms])
        return hashlib.sha256(content.encode()).hexdigest()[:16]
