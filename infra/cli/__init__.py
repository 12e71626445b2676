"""The command `weir`: what a person runs. Entry points only; the work is done elsewhere.

May import every room; no room imports this.
"""
