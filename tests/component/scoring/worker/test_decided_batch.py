"""Rows that the engine reads are decided as rows that are decoded: the same bytes, all kept alike.

`DecodedOnly` is a model that takes decoded rows only, so every row goes the plain way of
`scoring.core.decide`; the model itself takes what the engine has read.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest

from features.batch import BATCH_NAMES, NO_HISTORY
from features.definitions import DEFINITION_DIGEST, FEATURE_NAMES
from features.online.batch_values import BatchValues, unknown
from models.artifact.compile_forest import compile_forest
from models.artifact.load import LoadedModel, load_model
from models.encoding.table import encode_table, vector_spec
from models.model import Model, Scores
from models.policy import Policy
from schemas.decision import PolicyRef, RolloutRef
from schemas.feature_row import FeatureRow, Origin
from schemas.output_codec import decode_decision, encode_decision, encode_feature_row
from scoring.core.arms import ArmOfRows
from scoring.core.assignment import LetThrough
from scoring.core.first_decision import DecisionContext, FirstDecision, decide_again
from scoring.core.kept_again import KeptAgain
from scoring.core.last_good import LastGoodModel
from scoring.worker.arm_use import ArmUse
from scoring.worker.decided_batch import DecidedBatch
from scoring.worker.feature_log import Record, read_batch
from tests.builders import NOW_MS, transaction
from tests.model_files import ROWS, trained, training_table
from tests.scoring_fakes import feature_row
from training.fitting.fit import ForestParameters, fit_forest

POLICY = Policy(review_threshold=0.3, block_threshold=0.6)


class DecodedOnly:
    """A model without its reader."""

    reader = None

    def __init__(self, model: LoadedModel) -> None:
        self.ref = model.ref
        self.definition_digest = model.definition_digest
        self.batch_columns = model.batch_columns
        self.spec = model.spec
        self._model = model

    def score(self, rows: Sequence[FeatureRow]) -> Scores:
        return self._model.score(rows)


@pytest.fixture(scope="module", params=["stream", "with batch features"])
def model(request: pytest.FixtureRequest) -> LoadedModel:
    files = trained().files
    if request.param != "stream":
        table = training_table()
        for at, name in enumerate(BATCH_NAMES):
            table[name] = [float(row % (at + 2)) for row in range(ROWS)]
        spec = vector_spec(table)
        forest = fit_forest(table, spec, parameters=ForestParameters(trees=5, depth_max=4), seed=1)
        files = compile_forest(forest, spec, encode_table(table, spec), seed=1)
    return load_model(files, name="m <NOW> 100 %b", version="3", trees_digest=files.trees_digest)


NUMBERS: tuple[int | float | None, ...] = (
    *(None, 0, 1, 7, 99, 10**6, 10**17, 2**53 + 1),
    *(0.0, 0.5, 0.1, 1e-7, 1e16, 1e17, 1.5e30, 5e-324, 0.07, 123456.789, 1 / 3),
)
PLAIN_TEXTS = ("t", "u-1", "with space", "x" * 128, "/{}%b%s")
TEXTS = (*3 * PLAIN_TEXTS, 'quote"', "back\\slash", "ä☃", "😀")


def random_rows(count: int, *, seed: int) -> list[FeatureRow]:
    """Rows as the job may write them, and such as no engine of ours writes."""
    rng = random.Random(seed)
    rows = []
    for at in range(count):
        event = transaction(
            transaction_id=f"{rng.choice(TEXTS)[:100]}-{at}",
            user_id=rng.choice(TEXTS),
            merchant_id=rng.choice(TEXTS),
            amount_minor=rng.choice((0, 1, 4_250, 10**12, 2**63)),
            event_time_ms=NOW_MS + rng.randrange(10**6),
            device_type=rng.choice((None, "mobile", "web", "unknown", "ä")),
            ip_country=rng.choice((None, "DE", "AT", "ZZ")),
        )
        names = rng.sample(FEATURE_NAMES, rng.randrange(3))
        row = replace(
            feature_row(),
            transaction=event,
            features={name: rng.choice(NUMBERS) for name in FEATURE_NAMES},
            approximate=tuple(names),
            definition_digest=rng.choice((DEFINITION_DIGEST,) * 9 + ("other",)),
            repeat=rng.random() < 0.1,
            origin=Origin(rng.randrange(4), rng.randrange(10**9), NOW_MS - 7),
            computed_at_ms=NOW_MS - 2,
        )
        # The engine leaves these two to the decoder.
        if rng.random() < 0.1:
            row = replace(row, features={**row.features, "more": 1})
        if rng.random() < 0.1:
            row = replace(row, features={**row.features, FEATURE_NAMES[0]: 2**64 - 1})
        rows.append(row)
    return rows


def records_of(rows: Sequence[FeatureRow]) -> list[Record]:
    return [
        Record("features", at % 2, at, NOW_MS, b"k", encode_feature_row(row), [])
        for at, row in enumerate(rows)
    ]


def batch_values(count: int) -> list[BatchValues]:
    known = dict(zip(BATCH_NAMES, (3, 12.5, None, 0.25), strict=True))
    kinds = (
        BatchValues(known, NOW_MS - 1, None),
        BatchValues(NO_HISTORY, NOW_MS, None),
        unknown("batch_features_stale"),
    )
    return [kinds[at % len(kinds)] for at in range(count)]


def decided(
    model: Model, rows: Sequence[FeatureRow], *, arm: ArmUse | None = None, **changes: object
) -> DecidedBatch:
    values = batch_values(len(rows)) if "values" not in changes else None
    return DecidedBatch(
        read_batch(records_of(rows)),
        model=model,
        policy=POLICY,
        values=values,
        now_ms=NOW_MS,
        arm=arm,
    )


ARM = ArmUse(
    ArmOfRows(RolloutRef("r-1", 3), "challenger", 0.05),
    ("arm_unavailable",),
    LetThrough(share_bp=5_000, amount_minor_max=10**12, salt="salt"),
    clock_ms=lambda: 7.0,
)
ARMS = pytest.mark.parametrize("arm", [None, ARM], ids=["no rollout", "arm"])


@ARMS
@pytest.mark.parametrize("has_values", [True, False])
def test_the_engine_and_the_decoder_lead_to_the_same_bytes(
    model: LoadedModel, *, has_values: bool, arm: ArmUse | None
) -> None:
    rows = random_rows(600, seed=3)
    assert 50 < len(read_batch(records_of(rows)).rows.taken()) < 550
    changes = {} if has_values else {"values": None}
    read = decided(model, rows, arm=arm, **changes)
    plain = decided(DecodedOnly(model), rows, arm=arm, **changes)
    for at in range(0, len(rows), 3):
        assert read.unstored(at) == plain.unstored(at)
    assert read.proposals == plain.proposals
    assert read.contexts == plain.contexts
    for at, row in enumerate(rows):
        assert read.encode(at) == plain.encode(at), row
        assert read.outcomes[at] == plain.outcomes[at]
        assert read.degraded[at] == plain.degraded[at]


def test_the_word_of_the_last_good_model_is_in_the_same_place_of_both(model: LoadedModel) -> None:
    rows = random_rows(60, seed=4)
    read = decided(LastGoodModel(model), rows)
    plain = decided(LastGoodModel(DecodedOnly(model)), rows)
    for at in range(len(rows)):
        assert read.encode(at) == plain.encode(at)
    words = {decode_decision(read.encode(at)).degraded[0] for at in range(len(rows))}
    assert words == {"champion_unavailable", "definition_digest_mismatch"}


@ARMS
def test_every_decision_is_made_again_from_what_is_kept_and_its_row(
    model: LoadedModel, arm: ArmUse | None
) -> None:
    rows = random_rows(300, seed=4)
    batch = decided(model, rows, arm=arm)
    stored = [kept for _, kept in batch.proposals]
    stored[::3] = [batch.unstored(at) for at in range(0, len(rows), 3)]
    for at, kept in enumerate(stored):
        first = FirstDecision.unpack(kept)
        context = DecisionContext.from_json(batch.contexts[first.context])
        again = decide_again(first, rows[at], context)
        # Kept is what many decisions have in common, so not the duration of the model call.
        of_call = replace(again, model_ms=None if arm is None else 0.0)
        assert encode_decision(of_call) == batch.encode(at)


@ARMS
def test_what_was_kept_follows_from_the_decision_in_the_log(
    model: LoadedModel, arm: ArmUse | None
) -> None:
    rows = random_rows(300, seed=6)
    batch = decided(model, rows, arm=arm)
    stored = [kept for _, kept in batch.proposals]
    stored[::3] = [batch.unstored(at) for at in range(0, len(rows), 3)]
    again = KeptAgain(
        spec_of=lambda decision: None if decision.vector_spec is None else model.spec,
        present_policy=POLICY,
    )
    for at, kept in enumerate(stored):
        first, content = again.of(decode_decision(batch.encode(at)))
        assert first.pack() == kept
        assert batch.contexts[first.context] == content


def test_a_decision_by_other_thresholds_or_a_lost_model_is_made_again_as_it_was(
    model: LoadedModel,
) -> None:
    rows = random_rows(300, seed=7)
    batch = decided(model, rows)
    other = Policy(review_threshold=0.5, block_threshold=0.5)
    by_other = KeptAgain(
        spec_of=lambda decision: None if decision.vector_spec is None else model.spec,
        present_policy=other,
    )
    lost = KeptAgain(spec_of=lambda _: None, present_policy=POLICY)
    for at, row in enumerate(rows):
        sent = decode_decision(batch.encode(at))
        first, content = by_other.of(sent)
        found = decide_again(first, row, DecisionContext.from_json(content))
        assert encode_decision(found) == batch.encode(at)
        first, content = lost.of(sent)
        found = decide_again(first, row, DecisionContext.from_json(content))
        assert (found.decision, found.score, found.model, found.reasons) == (
            (sent.decision, sent.score, sent.model, sent.reasons)
        )
        has_spec = sent.vector_spec is not None
        assert found.degraded == sent.degraded + (("first_context_lost",) if has_spec else ())


def test_would_be_blocks_are_let_through_by_a_draw_that_is_logged(model: LoadedModel) -> None:
    rows = random_rows(600, seed=5)
    batch, plain = decided(model, rows, arm=ARM), decided(model, rows)
    assert ARM.let_through is not None
    seen = set()
    for at, row in enumerate(rows):
        decision = decode_decision(batch.encode(at))
        blocked = plain.outcomes[at] == "BLOCK" and row.transaction.amount_minor <= 10**12
        assert (decision.policy is not None) == blocked
        if decision.policy is None:
            assert decision.decision == plain.outcomes[at]
            continue
        is_drawn, _ = ARM.let_through.draw(
            row.transaction.transaction_id, amount_minor=row.transaction.amount_minor
        )
        assert decision.decision == ("APPROVE" if is_drawn else "BLOCK")
        assert decision.policy == PolicyRef("let_through", 0.5)
        assert decision.reasons[-1].startswith("let through by a draw") == is_drawn
        seen.add(decision.decision)
    assert seen == {"APPROVE", "BLOCK"}


def test_the_engine_reads_every_row_of_ours_with_plain_texts() -> None:
    rows = [feature_row(f"t-{at}") for at in range(50)]
    assert read_batch(records_of(rows)).rows.taken() == list(range(50))
