"""Tables of the verdicts on frames with vacancies."""

import numpy as np


def percent(values):
    """Share of true values and its standard error, in per cent, as text; None without values."""
    n = len(values)
    if not n:
        return None
    share = np.mean(np.asarray(values, dtype=float))
    # of a beta distribution: not zero where none or all are true
    hits = n * share + 1
    error = np.sqrt(hits * (n + 2 - hits) / (n + 2) ** 2 / (n + 3))
    return f"{100 * share:.1f} ± {100 * error:.1f}"


def percent_of(seen, there):
    """The same of numbers: how many of how many."""
    return percent(np.arange(there) < seen)


def vacancy_tables(rows, report, min_shares, max_shares):
    """Tables of the frames with vacancies."""
    shares = [f"{share:g}" for share in min_shares]
    names = [f"confirmed, min_share={share}" for share in shares]
    captions = {
        "all": "Vacancies: share (%, with standard error) that the denoised halves or the frame "
        "draw, that has something according to the weaker statement, and that is confirmed.",
        "drawn": "The same of vacancies that were drawn, in columns of contrast 27 % and more.",
    }
    for part, caption in captions.items():
        columns = ["element", "e/px", "vacancies", "drawn", "something is there", *names]
        table = report.table(caption, columns)
        groups = {}
        for row in rows:
            for vacancy in row["vacancies"]:
                element, surface, normal, _, verdict = vacancy[:5]
                if part == "drawn" and not (normal and verdict):
                    continue
                place = f"{element}, {'surface' if surface else 'interior'}"
                groups.setdefault((place, row["dose"]), []).append(vacancy)
                groups.setdefault(("all", row["dose"]), []).append(vacancy)
        for (place, dose), vacancies in sorted(
            groups.items(), key=lambda g: (g[0][0] == "all", g[0])
        ):
            cells = [percent([v[4] != "" for v in vacancies]), percent([v[3] for v in vacancies])]
            cells += [
                percent([v[4 + k] == "confirmed" for v in vacancies]) for k in range(len(shares))
            ]
            report.row(table, [place, f"{dose:g}", len(vacancies), *cells])

    caption = "Columns of contrast 27 % and more in the same frames: share (%) found, that has "
    caption += "something, and that is confirmed."
    table = report.table(caption, ["specimen", "e/px", "columns", "found", "something", *names])
    groups = {}
    for row in rows:
        for place in ("bulk", "surface"):
            here = {s: row["columns"][s].get(place) for s in shares}
            if here[shares[0]] is not None:
                key = (row["image"], place, row["dose"])
                groups.setdefault(key, []).append(here)
    for (name, place, dose), parts in sorted(groups.items()):
        sums = {s: np.sum([part[s] for part in parts], axis=0) for s in shares}
        there, found, present, _ = sums[shares[0]]
        cells = [percent_of(found, there), percent_of(present, there)]
        cells += [percent_of(sums[s][3], there) for s in shares]
        report.row(table, [f"{name}, {place}", f"{dose:g}", int(there), *cells])

    caption = "Share (%) of the confirmed columns of a frame whose height in the clean image is no "
    caption += "more than min_share of the height of their kind; mean over frames."
    table = report.table(
        caption, ["specimen", "e/px", "frames", *(f"min_share={s}" for s in shares)]
    )
    for (name, dose), frames in _by_specimen(rows):
        cells = []
        for s in shares:
            low = [
                100 * f["columns"][s]["low"] / max(f["columns"][s]["confirmed"], 1) for f in frames
            ]
            cells.append(mean_and_error(low))
        report.row(table, [name, f"{dose:g}", len(frames), *cells])

    caption = (
        "missing_columns, by max_share: share (%) of the sites called missing in a frame that "
    )
    caption += (
        "have a column, and that are no vacancy (a column, or no site of the crystal); share "
    )
    caption += "of the vacancies in columns of contrast 27 % and more that the lattice predicts, "
    caption += "and share found."
    columns = ["specimen", "e/px", "max_share", "have a column", "no vacancy", "predicted"]
    table = report.table(caption, [*columns, "found"])
    for (name, dose), frames in _by_specimen(rows):
        for share in (f"{s:g}" for s in max_shares):
            n = np.array([f["missing"][share]["n"] for f in frames], dtype=float)
            false = 100 * n[:, 2:] / np.maximum(n[:, 1:2], 1)
            vacancies = [
                site
                for f in frames
                for (_, _, normal, *_), site in zip(
                    f["vacancies"], f["missing"][share]["vacancies"], strict=True
                )
                if normal
            ]
            cells = [mean_and_error(false[:, 0]), mean_and_error(false.sum(axis=1))]
            cells += [percent([v is not None for v in vacancies])]
            cells += [percent([bool(v) for v in vacancies])]
            report.row(table, [name, f"{dose:g}", share, *cells])


def mean_and_error(values):
    """Mean with its standard error, as text."""
    return f"{np.mean(values):.1f} ± {np.std(values) / np.sqrt(len(values)):.1f}"


def _by_specimen(rows):
    groups = {}
    for row in rows:
        for name in (row["image"], "all"):
            groups.setdefault((name, row["dose"]), []).append(row)
    return sorted(groups.items(), key=lambda g: (g[0][0] == "all", g[0]))
