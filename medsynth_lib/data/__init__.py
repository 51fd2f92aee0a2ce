"""Data sources, the `SliceSet` that every source returns, the split by subject, and augmentation."""
