"""From a raw frame to its overlay: preparation, explanation, colours."""
