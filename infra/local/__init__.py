"""The whole system on one machine, under supervisord.

`layout.py` has the paths, `programs.py` the programs, `jvm.py` the options of the JVMs.
`configuration.py` writes the configuration files, `supervisor.py` starts supervisord, `stack.py`
starts and stops the programs, `doctor.py` checks all of it. Nothing here reads or writes Weir's
topics; `topics.py` creates them.
"""
