"""Are the error rates of confirm_atoms what they claim to be?

    python benchmarks/fdr_calibration.py [IMAGE.tif ...] [--n-frames 40] [--n-specimens 24]
        [--rows FRAMES.jsonl] [--stop-after MINUTES]

Noisy frames of simulated particles that no network was trained on (make_ptceo2(models="varied"),
2 frames of each model, at different defoci), and of clean images given as arguments (4.89 pm/px,
0.45 counts/px in vacuum, shrunk by 0.785), 20 draws each. Each at the given doses and thresholds of
detection. Columns are compared with the maxima of the clean image:

false      no maximum with a response of at least 2 % of the mean within 62 pm; displaced where one
           of at least the threshold (of the mean) lies within 112 pm, else a phantom
normal     columns with a response of 13.5 % of the mean and more: contrast of 27 % and more; weak,
           9 to 13.5 %

split      confirm_atoms, end to end: q_value, something is there
share      the same with its verdict "confirmed" at each min_share: the height exceeds this share
unsplit    the same test on the counts the columns were found in, one direction, the same families
disk       the paper's statistic with the same split: the electrons in disks of 70.4 pm against
           those expected at the level of the vacuum, with the Poisson distribution's p-value
map        the paper's own use of it, without a split: log-likelihood ratio above zero (bright
           columns only, as the ratio knows no sign)

With the false discovery proportion (FDP) as mean over frames; power, the share of the clean image's
columns that are confirmed, with all frames pooled; and the share of false columns with p < 0.05 in
a single test: of all, and of those without excess, where the clean image itself does not rise above
a plane (by more than a tenth of the noise of the test), so that the hypothesis tested is true.
p-values at random positions in vacuum are compared with the uniform distribution
(Kolmogorov-Smirnov).

Then frames with vacancies (--n-specimens of each kind, two defoci each, 0.45 and 2 counts/px): Pt
on CeO2, Au, SrTiO3 and Si, where of each heavy element a column inside and one at the surface is
gone. How many vacancies are drawn, called "something is there", and confirmed, by min_share?
How many of the other columns of normal contrast? And what does missing_columns find, by max_share?

Finished frames are kept in --rows: the same command goes on after a stop, and adds frames. With
--stop-after it ends after some minutes with status 75 if something is left. Writes
results/fdr-calibration-cpu.json, which the user guide shows, and ends with one JSON line.
"""

import argparse
import json
import os
import time
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
from _paper.report import Report
from _paper.vacancies import SIGMA as SIGMAS
from _paper.vacancies import specimen
from _paper.vacancy_tables import vacancy_tables
from authors_images import PIXEL_SIZE, shrunk
from joblib import Parallel, delayed
from scipy.ndimage import distance_transform_edt
from scipy.spatial import cKDTree
from scipy.stats import kstest, poisson

from temdenoise import SBDDenoiser, find_atoms, make_ptceo2, thin_counts
from temdenoise.atoms import (
    column_polarity,
    confirm_atoms,
    confirm_atoms_from_halves,
    match_atoms,
)
from temdenoise.atoms._evidence import column_tests
from temdenoise.atoms._false_discovery import q_values
from temdenoise.atoms.confirm_halves import MIN_SHARE, RADIUS_PM, Halves, Lengths, regions_of
from temdenoise.atoms.find import COLUMN_SIGMA, image_range
from temdenoise.atoms.missing import MAX_SHARE, tested_sites
from temdenoise.inspection import likelihood_map
from temdenoise.inspection._regions import RADIUS_PM as DISK_PM
from temdenoise.inspection._regions import label_disks

RESULTS = Path(__file__).parent / "results"
FDR = (0.01, 0.05, 0.1)
MIN_SHARES = (0.2, 0.25, 0.3)
MAX_SHARES = (0.5, 0.75, 0.9)
SPECIMENS = ("Pt/CeO2", "Au", "SrTiO3", "Si")
VACANCY_DOSES = (0.45, 2.0)  # counts/px in vacuum
DOSES = (1.0,)
THRESHOLDS = (0.09,)
BATCH = 5  # models simulated at a time
DRAWS = 20
N_DEFOCI = 2  # of each specimen with vacancies
FAINT, LEAST, NORMAL = 0.02, 0.09, 0.135
SAME, NEAR = 62.2 / PIXEL_SIZE, 112 / PIXEL_SIZE
RADIUS, SIGMA = RADIUS_PM / PIXEL_SIZE, COLUMN_SIGMA / PIXEL_SIZE
VACUUM = 0.45  # counts/px


class Recorder:
    """A denoiser that keeps what it was given and what it returned."""

    def __init__(self, denoiser):
        self.denoiser, self.calls = denoiser, []

    def transform(self, X, pixel_size=None):
        denoised = self.denoiser.transform(X, pixel_size=pixel_size)
        self.calls.append((np.asarray(X)[0], denoised[0]))
        return denoised


class Truth:
    """Maxima of the clean image."""

    def __init__(self, clean, polarity, threshold):
        options = {"pixel_size": PIXEL_SIZE, "polarity": polarity}
        # here all is relative to the mean of the image, not to its range
        scale = float(clean.mean(dtype=np.float64)) / image_range(clean)
        self.all = find_atoms(clean, threshold=FAINT * scale, exclude_border=False, **options)
        self.near = cKDTree(self.all.loc[self.all["response"] >= threshold * scale, ["x", "y"]])
        columns = find_atoms(clean, threshold=LEAST * scale, **options)
        surface = regions_of(columns, clean.shape, PIXEL_SIZE) == "surface"
        normal = columns["response"].to_numpy() >= NORMAL * scale
        self.columns = columns[["x", "y"]]
        self.classes = {"normal": normal, "weak": ~normal, "surface_normal": normal & surface}

    def kinds(self, atoms):
        """Whether each column is "true", "displaced" or a "phantom"."""
        kind = np.full(len(atoms), "phantom", dtype=object)
        if len(atoms):
            kind[self.near.query(atoms[["x", "y"]])[0] <= NEAR] = "displaced"
            kind[match_atoms(atoms, self.all, max_distance=SAME)["a"]] = "true"
        return kind

    def found(self, atoms):
        """Numbers of columns per class: how many there are, how many the list has."""
        seen = np.zeros(len(self.columns), dtype=bool)
        seen[match_atoms(self.columns, atoms, max_distance=SAME)["a"]] = True
        return {name: [int(c.sum()), int((c & seen).sum())] for name, c in self.classes.items()}


def score(truth, atoms, is_surface):
    """Numbers that describe a list of columns taken to be real."""
    false = truth.kinds(atoms) != "true"
    counts = [len(atoms), false.sum(), is_surface.sum(), (false & is_surface).sum()]
    return {"n": [int(c) for c in counts], "found": truth.found(atoms)}


def lower_than(share, atoms, clean, denoised, radius, sigma):
    """Number of columns whose height in the clean image is no more than a share of their kind's."""
    xy = atoms[["x", "y"]].to_numpy()
    height = column_tests(clean, denoised, xy, radius, sigma)["height_counted"].to_numpy()
    kind = atoms["height_kind"].to_numpy()
    return int((height * np.sign(kind) <= share * np.abs(kind)).sum())


def study_vacancies(sample, k, dose, seed, denoiser):
    """Verdicts on vacancies and columns of one noisy frame of a specimen, and what is missing."""
    clean, full = sample.clean[k] * np.float32(dose), sample.full[k] * np.float32(dose)
    noisy = np.random.RandomState(seed).poisson(clean).astype(np.float32)
    sigma = SIGMAS.get(sample.name)
    lengths = Lengths(PIXEL_SIZE, sigma)
    polarity = column_polarity(full, sigma=lengths.blob)
    options = {"sigma": sigma, "polarity": polarity}
    scale = float(full.mean(dtype=np.float64)) / image_range(full)
    shown = find_atoms(full, threshold=NORMAL * scale, pixel_size=PIXEL_SIZE, **options)
    shown = cKDTree(shown[["x", "y"]])
    vacancies, columns = sample.vacancies, sample.columns
    away = cKDTree(vacancies[["x", "y"]]).query(columns[["x", "y"]])[0]
    normal = shown.query(columns[["x", "y"]])[0] <= lengths.same
    heavy = columns["element"].isin(set(vacancies["element"]))
    columns = columns[columns["inside"] & heavy & normal & (away > 2 * lengths.same)]
    result = {"vacancies": [], "columns": {}, "missing": {}}
    for row in vacancies.itertuples():
        normal = shown.query([row.x, row.y])[0] <= lengths.same
        result["vacancies"].append([row.element, bool(row.surface), bool(normal)])

    a, b = thin_counts(noisy, random_state=seed)
    denoised = denoiser.transform(np.stack([a, b, noisy]), pixel_size=PIXEL_SIZE)
    images = dict(
        zip(("a", "b", "denoised_a", "denoised_b", "denoised"), (a, b, *denoised), strict=True)
    )
    denoised = images["denoised"]
    for share in MIN_SHARES:
        table = confirm_atoms_from_halves(
            **images, min_share=share, pixel_size=PIXEL_SIZE, **options
        )
        kept = table[table["verdict"] == "confirmed"]
        low = lower_than(share, kept, clean, denoised, lengths.window, lengths.column)
        result["columns"][f"{share:g}"] = counts = {"confirmed": len(kept), "low": low}
        found = _at(table, columns, lengths.same)
        for name, group in found.groupby(columns["surface"].to_numpy()):
            seen = [len(group), (group["verdict"] != "").sum(), group["present"].sum()]
            seen.append((group["verdict"] == "confirmed").sum())
            counts["surface" if name else "bulk"] = [int(n) for n in seen]
        found = _at(table, vacancies, lengths.same)
        for entry, row in zip(result["vacancies"], found.itertuples(), strict=True):
            entry += [row.verdict] if len(entry) > 3 else [bool(row.present), row.verdict]

    atoms = cKDTree(sample.columns[["x", "y"]])
    halves = Halves(images, lengths, None, polarity=polarity, threshold=THRESHOLDS[0])
    for share in MAX_SHARES:
        sites = tested_sites(halves, FDR[1], share)
        gone = sites[sites["missing"]]
        vacant = cKDTree(vacancies[["x", "y"]]).query(gone[["x", "y"]])[0] <= lengths.same
        atom = (atoms.query(gone[["x", "y"]])[0] <= lengths.same) & ~vacant
        found = _at(sites, vacancies, lengths.same)
        result["missing"][f"{share:g}"] = {
            "n": [len(sites), len(gone), int(atom.sum()), int((~atom & ~vacant).sum())],
            "vacancies": found["missing"].tolist(),  # None: no site is predicted there
        }
    return result


def _at(table, places, reach):
    """Rows of a table at each place; where there is none, empty values."""
    pairs = match_atoms(places, table, max_distance=reach)
    found = table.astype(object).reindex(index=range(-len(places), 0))
    found.iloc[pairs["a"].to_numpy()] = table.iloc[pairs["b"].to_numpy()].astype(object)
    if "verdict" in found:
        found = found.fillna({"verdict": "", "present": False})
    return found.where(found.notna(), None).reset_index(drop=True)


def disk_p_values(counts, image, atoms, level, polarity):
    """The paper's model as a test: electrons in each disk, against vacuum."""
    disks = atoms[["x", "y"]].assign(radius=DISK_PM / PIXEL_SIZE)
    labels = label_disks(disks, counts.shape)
    electrons = np.bincount(labels.ravel(), counts.ravel(), len(atoms) + 1)[1:]
    expected = np.bincount(labels.ravel(), minlength=len(atoms) + 1)[1:] * level
    if polarity == "bright":
        return poisson.sf(electrons - 1, expected)
    return poisson.cdf(electrons, expected)


def vacuum_positions(clean, dose, rng, n_wanted=20):
    """Random positions whose windows are vacuum, apart from each other."""
    flat = np.abs(clean / (VACUUM * dose) - 1) < 0.002  # less than the tests of all frames notice
    flat[[0, -1]] = flat[:, [0, -1]] = False
    room = np.argwhere(distance_transform_edt(flat) > RADIUS + 1)[:, ::-1]
    chosen = []
    for xy in rng.permutation(room)[:400]:
        if all(np.hypot(*(xy - other)) > 2 * RADIUS for other in chosen):
            chosen.append(xy)
    return np.array(chosen[:n_wanted], dtype=float).reshape(-1, 2)


def study(clean, dose, threshold, seed, denoiser):
    """All methods on one noisy frame."""
    rng = np.random.RandomState(seed)
    clean = clean * np.float32(dose)
    noisy = rng.poisson(clean).astype(np.float32)
    polarity = column_polarity(clean, pixel_size=PIXEL_SIZE)
    options = {"pixel_size": PIXEL_SIZE, "polarity": polarity, "threshold": threshold}
    truth = Truth(clean, polarity, threshold)
    recorder = Recorder(denoiser)
    table = confirm_atoms(recorder, noisy, random_state=seed, **options)
    (a, denoised_a), (b, denoised_b), (_, denoised) = recorder.calls
    result = {"polarity": polarity}

    # without a test
    found = find_atoms(denoised, **options)
    surface = regions_of(found, clean.shape, PIXEL_SIZE) == "surface"
    result["detected"] = score(truth, found, surface)
    # end to end
    rows = {f"split {rate:g}": table[table["q_value"] <= rate] for rate in FDR}
    result |= {k: score(truth, t, (t["region"] == "surface").to_numpy()) for k, t in rows.items()}
    halves = (a, b, denoised_a, denoised_b, denoised)
    for share in MIN_SHARES:
        judged = confirm_atoms_from_halves(*halves, min_share=share, **options)
        kept = judged[judged["verdict"] == "confirmed"]
        scores = score(truth, kept, (kept["region"] == "surface").to_numpy())
        low = lower_than(share, kept, clean, denoised, RADIUS, SIGMA)
        result[f"share {share:g}"] = scores | {"low": low}
    # the counts that the columns were found in
    region = np.where(surface, "surface", "bulk").astype(object)
    xy = found[["x", "y"]].to_numpy()
    p = column_tests(noisy, denoised, xy, RADIUS, SIGMA)["p_value"].to_numpy()
    kinds = truth.kinds(found)
    result["unsplit p"] = [[kind, v] for kind, v in zip(kinds, p.round(5), strict=True)]
    result |= {
        f"unsplit {rate:g}": score(truth, found[keep], surface[keep])
        for rate in FDR
        for keep in [q_values(p, region) <= rate]
    }
    if polarity == "bright" and len(found):
        level = VACUUM * dose  # known here; elsewhere it would be measured
        disks = likelihood_map(noisy, denoised, atoms=found, pixel_size=PIXEL_SIZE, vacuum=level)
        keep = (disks.atoms["log_ratio"] > 0).to_numpy()
        result["map"] = score(truth, found[keep], surface[keep])

    # single tests, and the paper's statistic on the same halves
    result["split p"], result["vacuum p"], confirmed = [], [], {rate: [] for rate in FDR}
    places = vacuum_positions(clean, dose, rng)
    for image, counts in ((denoised_a, b), (denoised_b, a)):
        half = find_atoms(image, **options)
        if not len(half):
            continue
        xy = half[["x", "y"]].to_numpy()
        kinds = truth.kinds(half)
        p = column_tests(counts, image, xy, RADIUS, SIGMA)["p_value"]
        excess = column_tests(clean / 2, image, xy, RADIUS, SIGMA)["z"]
        rows = zip(kinds, p.round(5), excess.round(3), strict=True)
        result["split p"] += [list(row) for row in rows]
        if len(places) and image is denoised_a:  # the other direction is not independent
            tests = column_tests(counts, image, places, RADIUS, SIGMA, template_xy=xy)
            result["vacuum p"] += tests["p_value"].dropna().round(5).tolist()
        region = regions_of(half, clean.shape, PIXEL_SIZE)
        p = disk_p_values(counts, image, half, VACUUM * dose / 2, polarity)
        for rate in FDR:
            keep = q_values(p, region) <= rate / 2
            confirmed[rate].append(half[keep].assign(region=region[keep]))
    for rate, tables in confirmed.items():
        if len(tables) == 2:
            again = match_atoms(*tables, max_distance=SAME)["b"]
            tables[1] = tables[1].drop(index=tables[1].index[again])
        union = pd.concat(tables) if tables else found.iloc[:0].assign(region="")
        result[f"disk {rate:g}"] = score(truth, union, (union["region"] == "surface").to_numpy())
    return result


def one(task, clean, weights):
    """Study one task in a process of its own."""
    import torch

    torch.set_num_threads(1)
    name, frame, dose, threshold = task
    # the same noise for all thresholds, fresh noise for all else
    source = [frame, int(100 * dose), zlib.crc32(name.encode())]
    seed = int(np.random.RandomState(source).randint(2**31 - 1))
    denoiser = SBDDenoiser.from_pretrained(weights)
    head = {"image": name, "frame": frame, "dose": dose, "threshold": threshold}
    if name in SPECIMENS:
        return head | study_vacancies(clean, frame % N_DEFOCI, dose, seed, denoiser)
    return head | study(clean, dose, threshold, seed, denoiser)


def clean_images(args):
    """Name, frame number and clean image, frame by frame; models are simulated when needed."""
    for path in args.images:
        image = shrunk(path)
        for draw in range(args.draws):
            yield path.stem, draw, image
    batch = {"models": "varied", "images_per_model": args.frames_per_model}
    for start in range(0, args.n_frames, BATCH * args.frames_per_model):
        # whole batches, one seed each: more frames leave the first as they were
        n_images = BATCH * args.frames_per_model
        options = {"pixel_size": PIXEL_SIZE, "random_state": args.seed + start}
        sim = make_ptceo2(n_images, **batch, **options, n_jobs=args.n_jobs)
        for k in range(min(n_images, args.n_frames - start)):
            yield "varied", start + k, sim.data[k]


def tasks(args):
    """Tasks (name, frame, dose, threshold), each with what makes its clean image or specimen."""
    for name, frame, clean in clean_images(args):
        for dose in args.doses:
            for threshold in args.thresholds:
                yield (name, frame, dose, threshold), clean
    for number in range(args.n_specimens):
        for name in SPECIMENS:
            sample = None
            for k in range(N_DEFOCI):
                for dose in VACANCY_DOSES:
                    task = (name, N_DEFOCI * number + k, dose, 0.0)
                    if sample is None and task not in args.done:
                        sample = specimen(name, args.seed + number, N_DEFOCI)
                    yield task, sample


def run(args):
    """Study what is not done yet; return the results of all that was asked for."""
    args.rows.parent.mkdir(parents=True, exist_ok=True)
    done = args.done = {}
    if args.rows.exists():
        text = args.rows.read_text()
        whole = text[: text.rfind("\n") + 1]  # the last line may have been cut off
        args.rows.write_text(whole)
        for line in whole.splitlines():
            row = json.loads(line)
            done[row["image"], row["frame"], row["dose"], row["threshold"]] = row
    wanted, pending = [], []
    end = time.monotonic() + 60 * (args.stop_after or np.inf)

    def flush():
        jobs = (delayed(one)(task, clean, args.weights) for task, clean in pending)
        with args.rows.open("a") as file:
            for row in Parallel(args.n_jobs, return_as="generator")(jobs):
                file.write(json.dumps(row) + "\n")
                file.flush()
                done[row["image"], row["frame"], row["dose"], row["threshold"]] = row
        pending.clear()
        print(f"{len(wanted)} of frames, doses and thresholds done", flush=True)

    for task, clean in tasks(args):
        wanted.append(task)
        if task not in done:
            if time.monotonic() > end:
                raise SystemExit(75)
            pending.append((task, clean))
        if len(pending) >= args.batch:
            flush()
    if pending:
        flush()
    return [done[task] for task in wanted]


def summary(rows):
    """Numbers over the frames of one dose and threshold."""
    result = {"frames": len(rows)}
    tests = ("split", "unsplit", "disk")
    methods = ["detected", "map", *(f"{m} {rate:g}" for m in tests for rate in FDR)]
    methods += [f"share {share:g}" for share in MIN_SHARES]
    for method in methods:
        here = [row[method] for row in rows if method in row]
        if not here:
            continue
        n = np.array([h["n"] for h in here], dtype=float)
        fdp = n[:, 1] / np.maximum(n[:, 0], 1)
        entry = {"fdp": fdp.mean(), "fdp_se": fdp.std() / np.sqrt(len(fdp))}
        entry["fdp_surface"] = (n[:, 3] / np.maximum(n[:, 2], 1)).mean()
        if "low" in here[0]:
            low = np.array([h["low"] for h in here]) / np.maximum(n[:, 0], 1)
            entry["fdp_height"], entry["fdp_height_se"] = low.mean(), low.std() / len(low) ** 0.5
        entry["columns"], entry["false"] = n[:, 0].mean(), n[:, 1].mean()
        for name in ("normal", "weak", "surface_normal"):
            there, seen = np.sum([h["found"][name] for h in here], axis=0)
            entry[f"power_{name}"] = seen / there if there else None
        result[method] = {k: v if v is None else round(float(v), 4) for k, v in entry.items()}
    for name in ("split p", "unsplit p"):
        p = pd.DataFrame([v for row in rows for v in row[name]]).dropna()
        if not len(p):
            continue
        p.columns = ["kind", "p", "excess"][: p.shape[1]]
        false = p[p["kind"] != "true"]
        parts = {"false": false, **dict(list(false.groupby("kind")))}
        if name == "split p":
            parts["false without excess"] = false[false["excess"] <= 0.1]
        for kind, part in parts.items():
            if not len(part):
                continue
            result[f"{name} < 0.05, {kind}"] = [
                round(float((part["p"] < 0.05).mean()), 4),
                len(part),
            ]
    vacuum = [p for row in rows for p in row["vacuum p"]]
    if vacuum:
        ks = kstest(vacuum, "uniform")
        result["vacuum"] = {
            "n": len(vacuum),
            "ks_p": round(float(ks.pvalue), 4),
            "below_0.05": round(float(np.mean(np.array(vacuum) < 0.05)), 4),
            "below_0.01": round(float(np.mean(np.array(vacuum) < 0.01)), 4),
        }
    return result


def frame_table(result, report):
    """Table of the frames without vacancies."""
    caption = "Frames without vacancies: false among the columns of a frame, those no higher than "
    caption += "min_share of their kind, and columns of contrast 27 % and more that are found (%)."
    columns = ["frames", "columns taken", "false", "too low", "found", "found at the surface"]
    table = report.table(caption, columns)
    names = {"detected": "found, without a test", "split 0.05": "something is there"}
    names |= {f"share {s:g}": f"confirmed, min_share={s:g}" for s in MIN_SHARES}
    for key, values in result.items():
        if not key.startswith("all,"):
            continue
        for method, name in names.items():
            entry = values.get(method)
            if entry is None:
                continue
            cells = [f"{100 * entry['fdp']:.1f} ± {100 * entry['fdp_se']:.1f}"]
            low = entry.get("fdp_height")
            cells.append(low and f"{100 * low:.1f} ± {100 * entry['fdp_height_se']:.1f}")
            cells += [f"{100 * entry[f'power_{c}']:.1f}" for c in ("normal", "surface_normal")]
            report.row(table, [f"{values['frames']}, {key[5:]}", name, *cells])


def main():
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", nargs="*", type=Path)
    parser.add_argument("--n-frames", type=int, default=40, help="of simulated particles")
    parser.add_argument("--frames-per-model", type=int, default=2, help="of different defocus")
    parser.add_argument("--draws", type=int, default=DRAWS, help="frames of each image given")
    parser.add_argument("--doses", nargs="+", type=float, default=list(DOSES), help="x 0.45 e/px")
    parser.add_argument("--thresholds", nargs="+", type=float, default=list(THRESHOLDS))
    parser.add_argument("--weights", default="general", help="name or folder")
    parser.add_argument("--seed", type=int, default=20_201_012, help="of the particles")
    parser.add_argument("--n-specimens", type=int, default=24, help="with vacancies, of each kind")
    parser.add_argument(
        "--rows", type=Path, default=RESULTS / "fdr_calibration.work" / "frames.jsonl"
    )
    parser.add_argument("--output", type=Path, default=RESULTS / "fdr-calibration-cpu.json")
    parser.add_argument("--stop-after", type=float, metavar="MINUTES")
    parser.add_argument(
        "--batch", type=int, default=64, help="frames between two looks at the time"
    )
    parser.add_argument("--n-jobs", type=int, default=os.cpu_count())
    args = parser.parse_args()

    rows = run(args)
    groups = {}
    for row in rows:
        if row["image"] in SPECIMENS:
            continue
        kind = "varied" if row["image"] == "varied" else row["image"].split("-")[0]
        for group in {kind, "all"}:
            key = f"{group}, dose x {row['dose']:g}, threshold {row['threshold']:g}"
            groups.setdefault(key, []).append(row)
    result = {key: summary(part) for key, part in sorted(groups.items())}
    for key, values in result.items():
        print(key)
        for name, value in values.items():
            print("   ", name, value)
    args.device = "cpu"
    settings = [
        "n_frames",
        "frames_per_model",
        "draws",
        "doses",
        "thresholds",
        "n_specimens",
        "seed",
    ]
    report = Report(
        args, "fdr-calibration", "Columns confirmed and missing", [*settings, "weights"]
    )
    report.content["settings"] |= {"min_share": MIN_SHARE, "max_share": MAX_SHARE}
    if result:
        frame_table(result, report)
    vacancies = [row for row in rows if row["image"] in SPECIMENS]
    if vacancies:
        vacancy_tables(vacancies, report, MIN_SHARES, MAX_SHARES)
    report.finish()
    print(json.dumps(result))


if __name__ == "__main__":
    main()
