__all__ = [
    "Detector",
    "Microscope",
    "Structure",
    "absorptive_form_factor",
    "alter_surface",
    "electron_wavelength",
    "exit_wave",
    "form_factor",
    "interaction_parameter",
    "projected_potential",
    "propagate_potential",
    "pt_ceo2",
    "sample_image",
    "simulate",
    "surface_sites",
]

from ._simulate import simulate
from .detector import Detector, sample_image
from .multislice import exit_wave, propagate_potential
from .optics import Microscope
from .potential import projected_potential
from .scattering import (
    absorptive_form_factor,
    electron_wavelength,
    form_factor,
    interaction_parameter,
)
from .structures import Structure, pt_ceo2
from .surface_defects import alter_surface, surface_sites
