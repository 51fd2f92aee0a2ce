"""Segmenters (thin factories over MONAI) and the arms in which real and synthetic training data are compared."""
