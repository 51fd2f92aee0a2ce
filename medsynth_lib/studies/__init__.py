"""Comparisons of many trainings: segmenters on real and synthetic images, copies by number of subjects."""
