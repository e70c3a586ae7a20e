__all__ = [
    "RiskComparison",
    "atom_f1",
    "atom_f1_scorer",
    "atom_jaccard",
    "atom_jaccard_scorer",
    "atom_precision",
    "atom_precision_scorer",
    "atom_recall",
    "atom_recall_scorer",
    "atom_scores",
    "compare_risk",
    "make_denoising_scorer",
    "make_multimetric_scorer",
    "make_upsnr_scorer",
    "multimetric_scorer",
    "paired_risk",
    "psnr",
    "psnr_scorer",
    "pure_risk",
    "ssim",
    "ssim_scorer",
    "unbiased_mse",
    "upsnr",
    "upsnr_scorer",
]

from .atom_metrics import (
    atom_f1,
    atom_jaccard,
    atom_precision,
    atom_recall,
    atom_scores,
)
from .image_quality import (
    psnr,
    ssim,
    unbiased_mse,
    upsnr,
)
from .paired import RiskComparison, compare_risk, paired_risk
from .risk import pure_risk
from .scorers import (
    atom_f1_scorer,
    atom_jaccard_scorer,
    atom_precision_scorer,
    atom_recall_scorer,
    make_denoising_scorer,
    make_multimetric_scorer,
    make_upsnr_scorer,
    multimetric_scorer,
    psnr_scorer,
    ssim_scorer,
    upsnr_scorer,
)
