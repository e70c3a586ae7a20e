"""From atoms to clean images: structures, multislice, optics, detector (pure torch)."""

from .detector import sample_image
from .multislice import exit_wave
from .optics import Microscope
from .scattering import electron_wavelength, form_factor, interaction_parameter
from .structures import Structure, pt_ceo2
from .surface_defects import alter_surface, surface_sites

__all__ = [
    "Microscope",
    "Structure",
    "alter_surface",
    "electron_wavelength",
    "exit_wave",
    "form_factor",
    "interaction_parameter",
    "pt_ceo2",
    "sample_image",
    "surface_sites",
]
