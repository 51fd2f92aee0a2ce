"""Trainings that are compared: segmenters on real and synthetic images, copies by number of subjects."""
