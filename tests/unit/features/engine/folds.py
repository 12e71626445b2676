"""Folds events of the tests into the states of users and merchants."""

from __future__ import annotations

from features.engine.state import MerchantState, UserState, Values
from schemas.label import Label
from tests.unit.features.engine.brute_force import Payment, Report

MerchantEvent = tuple[str, int] | Report
"""A transaction, as id and event time, or a label."""


def fold_payment(state: UserState, payment: Payment) -> Values:
    return state.fold(
        transaction_id=payment.transaction_id,
        merchant_id=payment.merchant_id,
        amount_minor=payment.amount_minor,
        event_time_ms=payment.event_time_ms,
    )


def peek_payment(state: UserState, payment: Payment) -> Values:
    return state.peek(
        transaction_id=payment.transaction_id,
        merchant_id=payment.merchant_id,
        amount_minor=payment.amount_minor,
        event_time_ms=payment.event_time_ms,
    )


def fold_label(state: MerchantState, report: Report) -> None:
    state.fold_label(
        Label(
            transaction_id=report.transaction_id,
            merchant_id=report.merchant_id,
            event_time_ms=report.event_time_ms,
            observed_time_ms=report.observed_time_ms,
            is_fraud=report.is_fraud,
        )
    )


def fold_event(state: MerchantState, event: MerchantEvent) -> Values | None:
    if isinstance(event, Report):
        return fold_label(state, event)
    transaction_id, time = event
    return state.fold_transaction(
        transaction_id=transaction_id, event_time_ms=time, is_repeat=False
    )
