"""Where the copies are read: the logs in Kafka, Redis, and the registry's vector specifications."""
