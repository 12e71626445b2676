"""A recommendation in two steps, on the platform: candidates at night, a ranking on request."""
