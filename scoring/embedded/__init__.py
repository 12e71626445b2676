"""Scores in the user's own process or in a function of AWS Lambda: no service, no registry.

`scorer` is the interface, `model_directory` reads a model that was downloaded, `aws_events` and
`aws_handler` are for Lambda. Imports neither MLflow nor scikit-learn, nor anything else that is
slow to start or large; a contract of import-linter and a test check it.
"""
