"""Parity: recomputes every feature from the logs and compares it with every copy."""
