"""Deciding: from feature rows to decisions. Pure; knows no client library."""
