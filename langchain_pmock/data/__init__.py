"""Data about the models of the service."""
