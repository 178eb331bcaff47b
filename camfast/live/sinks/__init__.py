"""Where overlays go besides the page, one module a kind."""
