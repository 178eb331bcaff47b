"""A scan to look at: the report page, napari, and what other viewers read."""
