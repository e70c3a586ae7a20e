"""The numbers that `temdenoise.model_selection.benchmark` shows beside those of a denoiser.

    python benchmarks/package_table.py

Takes them from the results of paper_tables.py (benchmarks/results/table-5.1-*.json) and from the
paper's numbers in _paper/methods.py, and writes temdenoise/model_selection/data/table_5_1.json.
"""

import json
from pathlib import Path

from _paper.methods import CLASSICAL, PAPER_NETWORKS

RESULTS = Path(__file__).parent / "results"
OUTPUT = Path(__file__).parents[1] / "temdenoise" / "model_selection" / "data" / "table_5_1.json"

# Of Table 3.1's networks those that stand in Table 5.1, too.
IN_THE_PAPER = ("DnCNN", "small UNet", "UNet 128 ch, 6 scales")


def collect(results):
    """Return conditions and rows, of the contents of results files."""
    paper = {method.name: method.paper for method in CLASSICAL if method.paper}
    paper |= {f"SBD + {n.name}": n.paper for n in PAPER_NETWORKS if n.name in IN_THE_PAPER}
    rows, conditions = [], []
    for result in results:
        (table,) = result["tables"]
        settings = result["settings"]
        if not result["complete"] or (settings["seed"], settings["split"]) != (0, "images"):
            raise ValueError(f"{result['title']}: not the experiment, or not all of it")
        n_test = set()
        for row in table["rows"]:
            cells = dict(zip(table["columns"], row, strict=True))
            n_test.add(cells["test images"])
            rows.append(measured(cells) | paper_numbers(paper.pop(cells["method"], None)))
        conditions.append(
            f"{result['machine']}: {table['caption'].rstrip('.')}, {min(n_test)} tested on, "
            f"temdenoise {result['version']}"
        )
    rows += [{"method": name} | measured(None) | paper_numbers(p) for name, p in paper.items()]
    text = (
        "Held-out images of white contrast, 0.45 electrons per pixel of 6.22 pm in vacuum, Poisson "
        "noise; mean and standard deviation over images. Measured with benchmarks/paper_tables.py "
        f"({'; '.join(conditions)}). The paper's numbers are of its own images."
    )
    return {"conditions": text, "rows": rows}


def measured(cells):
    """Numbers of a row of results, None where there is none."""
    if cells is None:
        return dict.fromkeys(["psnr", "psnr_std", "ssim", "ssim_std", "training_minutes"])
    (psnr, psnr_std), (ssim, ssim_std) = (
        map(float, cells[name].split(" ± ")) for name in ("PSNR (dB)", "SSIM")
    )
    return {
        "method": cells["method"],
        "psnr": psnr,
        "psnr_std": psnr_std,
        "ssim": ssim,
        "ssim_std": ssim_std,
        "training_minutes": cells["training (min)"],
    }


def paper_numbers(pair):
    """PSNR and SSIM in the paper, if it has them."""
    psnr, ssim = pair or (None, None)
    return {"paper_psnr": psnr, "paper_ssim": ssim}


def shipped():
    """Return what is to be shipped, from the results that are there."""
    paths = sorted(RESULTS.glob("table-5.1-*.json"))
    return collect([json.loads(path.read_text(encoding="utf-8")) for path in paths])


def main():
    """Write the file."""
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(shipped(), indent=1, ensure_ascii=False)
    OUTPUT.write_text(text + "\n", encoding="utf-8")
    print(f"{OUTPUT.name}: {len(shipped()['rows'])} rows")


if __name__ == "__main__":
    main()
