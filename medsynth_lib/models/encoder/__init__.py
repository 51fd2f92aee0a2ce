"""Encoders: images to learned features, trained here without labels or read from a local file."""
