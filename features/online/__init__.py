"""The online store: keys, fields and values in Redis, as bytes. No client."""
