"""Churn: which users will buy nothing in the next 30 days. `docs/models.md` walks through it."""
