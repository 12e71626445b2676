"""Events: their fields, their bytes, their topics and the settings.

Imports no other package of ours and no heavy library, because the Flink environment, the services
and the tools all run it. Every other package may import it.
"""
