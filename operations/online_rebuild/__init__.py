"""Fills a Redis that has lost data again; the velocity job has the states."""
