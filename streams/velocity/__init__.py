"""The velocity job: reads transactions and labels, produces one feature row for a transaction."""
