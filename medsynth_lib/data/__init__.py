"""Sources of slices, the SliceSet they all yield, and the split by subject."""
