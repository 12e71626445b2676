"""Traffic for Weir: a seeded world of card payments, and tables replayed in event-time order.

`world.py` and `tables.py` make events and know no Kafka; `pump.py` and `replay.py` send them. The
command line and the tests call this package; the services do not import it.
"""
