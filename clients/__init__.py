"""Clients of Kafka, MLflow and Redis that several services share, and probes of all services."""
