"""What Redis holds for reading: keys, fields and values, as bytes. No client."""
