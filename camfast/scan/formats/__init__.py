"""File formats, one module each: everything that knows how a volume lies in a file."""
