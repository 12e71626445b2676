"""The velocity job: transactions and labels in, feature rows out, one event at a time."""
