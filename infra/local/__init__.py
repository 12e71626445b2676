"""The whole system on one machine, under supervisord.

`layout.py` knows where things lie, `programs.py` what runs, `configuration.py` writes the
configuration files, `readiness.py` asks whether a service answers, `stack.py` starts and stops.
Nothing here speaks to Weir's topics beyond creating them.
"""
