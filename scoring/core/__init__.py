"""Turns feature rows into decisions. Pure; knows no client library."""
