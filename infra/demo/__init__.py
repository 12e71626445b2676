"""The demo: a running system in one command, watched, measured and checked."""
