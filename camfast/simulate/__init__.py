"""Simulated cryo-electron subtomograms and tomograms with their ground truth."""

from camfast.simulate.noise import Microscope, contrast_transfer, form_image, missing_wedge
from camfast.simulate.particles import Particle, write_particles
from camfast.simulate.shapes import SHAPES, shape
from camfast.simulate.subtomogram import Subtomogram, subtomogram
from camfast.simulate.tomogram import Tomogram, tomogram

__all__ = [
    "SHAPES",
    "Microscope",
    "Particle",
    "Subtomogram",
    "Tomogram",
    "contrast_transfer",
    "form_image",
    "missing_wedge",
    "shape",
    "subtomogram",
    "tomogram",
    "write_particles",
]
