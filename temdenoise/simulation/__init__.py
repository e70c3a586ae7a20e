"""From atoms to clean images: structures, multislice, optics, detector (pure torch)."""

from temdenoise.simulation._simulate import simulate
from temdenoise.simulation.detector import Detector, sample_image
from temdenoise.simulation.multislice import exit_wave, propagate_potential
from temdenoise.simulation.optics import Microscope
from temdenoise.simulation.potential import projected_potential
from temdenoise.simulation.scattering import (
    absorptive_form_factor,
    electron_wavelength,
    form_factor,
    interaction_parameter,
)
from temdenoise.simulation.structures import Structure, pt_ceo2
from temdenoise.simulation.surface_defects import alter_surface, surface_sites

__all__ = [
    "Detector",
    "Microscope",
    "Structure",
    "alter_surface",
    "absorptive_form_factor",
    "electron_wavelength",
    "exit_wave",
    "form_factor",
    "interaction_parameter",
    "projected_potential",
    "propagate_potential",
    "pt_ceo2",
    "sample_image",
    "surface_sites",
    "simulate",
]
