"""Traffic for Weir: a seeded world of card payments, and tables replayed in event-time order.

`world` and `tables` make events and know no Kafka; `pump` and `replay` send them. Called by the
command line only; nothing of the product imports this package.
"""
