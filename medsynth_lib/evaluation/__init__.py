"""Evaluation of samples: all metrics with their reference values, the report, model cards, and data sets to share."""
