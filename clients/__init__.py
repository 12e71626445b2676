"""Clients of Kafka, MLflow and Redis that more than one service needs."""
