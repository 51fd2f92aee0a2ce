"""A run of the notebooks: sizes, folders, records, samples on disk, reference weights."""
