"""API keys: what a key is, the file that holds them, and the check of each request.

A key is shown once. The file holds only its SHA-256, its scopes and its limit. `weir api-key`
writes the file; the API reads it again when it has changed.
"""
