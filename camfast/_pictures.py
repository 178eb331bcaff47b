"""Kinds of pictures that are read."""

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP", "PPM")
"""As Pillow names them, whatever a file is called: of all that it knows some are handed to other programs, such as EPS
to Ghostscript, which is a way to run code that no picture needs. A phone's MPO is opened as the JPEG that it is."""
