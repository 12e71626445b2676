"""What runs Weir and what drives it from outside: the local stack, the generator, the command line.

Infra may import every other package; no other package imports infra.
"""
