"""Metrics, as functions of arrays: overlap, fidelity, diversity, memorization and their statistics."""
