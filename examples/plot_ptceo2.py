"""
The simulated set, looked at
============================

What an image of a nanoparticle looks like depends on the microscope as much as on the particle.
These are Figures A.1 to A.5 of the paper, made anew: each image is one of `make_ptceo2`'s 17,955.
"""

# %%
# Focus turns contrast over
# -------------------------
#
# The same atoms at rising defocus: black columns, then white platinum on hardly visible ceria, then
# white columns throughout. The class in the title is the one in ``frame["contrast"]``; the images
# are picked by an expression on the frame, and only those are simulated.

import matplotlib.pyplot as plt

from temdenoise import PoissonNoise, make_ptceo2

GRAY = {"cmap": "gray", "vmin": 0.2, "vmax": 0.9}  # counts/px; vacuum is 0.45


def pick(query, defocus):
    """Images of one model at some defoci."""
    wanted = f"{query} and support == 'flat' and defocus in {list(defocus)}"
    return make_ptceo2(query=wanted, preset="quick")


def show(axes, sim, titles):
    for ax, image, title in zip(axes, sim.data, titles, strict=True):
        ax.imshow(image, **GRAY)
        ax.set_title(title, fontsize=9)
        ax.set_axis_off()


upright = "structure == 'PtNp1' and defect == 'D0' and tilt_x == 0 and tilt_y == 2"
series = pick(f"{upright} and thickness == 40", (0, 4, 9, 17))
figure, axes = plt.subplots(1, 4, figsize=(9, 2.5), layout="constrained")
labels = zip(series.frame["defocus"], series.frame["contrast"], strict=True)
show(axes, series, [f"{defocus:.0f} nm, {contrast}" for defocus, contrast in labels])
plt.show()

# %%
# Thickness does so too
# ---------------------
#
# Rows: the support is 3 to 6 nm thick. Columns: defocus. The contrast of the platinum stays, for
# the particle is the same; that of the ceria does not (Figure A.2). Here the beam runs exactly
# along the columns.

thicknesses, defoci = (30, 40, 50, 60), (1, 7, 13, 18)
figure, axes = plt.subplots(4, 4, figsize=(8, 8.4), layout="constrained")
for row, thickness in zip(axes, thicknesses, strict=True):
    aligned = upright.replace("tilt_y == 2", "tilt_y == 0")
    sim = pick(f"{aligned} and thickness == {thickness}", defoci)
    show(row, sim, [f"{thickness / 10:.0f} nm thick, {d} nm" for d in defoci])
plt.show()

# %%
# Four particles
# --------------
#
# PtNp1, PtNp2 (one column less on the support), PtNp3 (1 nm), PtNp4 (3 nm), as in Figure A.4: 3 nm
# of support at 9 nm defocus, upright, and 5 nm at 6 nm, tilted by 4 degrees about x.

figure, axes = plt.subplots(2, 4, figsize=(9, 4.8), layout="constrained")
for row, condition, defocus in [
    (axes[0], "thickness == 30 and tilt_x == 0 and tilt_y == 0", 9),
    (axes[1], "thickness == 50 and tilt_x == 4", 6),
]:
    sim = pick(f"defect == 'D0' and {condition}", [defocus])
    order = sim.frame["structure"].argsort().to_numpy()
    sim.data, sim.frame = sim.data[order], sim.frame.iloc[order]
    show(row, sim, sim.frame["structure"])
plt.show()

# %%
# Defects
# -------
#
# A corner column of one particle: whole, missing, half, a single atom (Figure A.5). The arrow
# points at it; the true columns of each image say where it is and how many atoms it has.

query = "structure == 'PtNp1' and thickness == 30 and tilt_x == 0 and tilt_y == 2"
sim = pick(f"{query} and defect in ['D0', 'D1', 'Dh', 'Ds']", [9])
names = {"D0": "whole", "D1": "column missing", "Dh": "half", "Ds": "one atom"}
tables = dict(zip(sim.frame["defect"], sim.columns, strict=True))
figure, axes = plt.subplots(1, 4, figsize=(9, 2.6), layout="constrained")
for ax, name in zip(axes, names, strict=True):
    image = sim.data[sim.frame["defect"].eq(name).to_numpy()][0]
    table = tables[name]
    platinum = table[table["element"] == "Pt"]
    # models lie at different places in the field: match them at the particle's foot
    foot = platinum.nlargest(10, "y")[["x", "y"]].mean()
    single = tables["Ds"][tables["Ds"]["element"] == "Pt"]
    corner = single.nsmallest(1, "occupancy")[["x", "y"]].iloc[0]
    place = corner - single.nlargest(10, "y")[["x", "y"]].mean() + foot
    ax.imshow(image, **GRAY)
    ax.annotate(
        "",
        place,
        place - [0, 25],
        arrowprops={"arrowstyle": "->", "color": "orange"},
    )
    at_corner = ((platinum[["x", "y"]] - place) ** 2).sum(axis=1) < 9
    atoms = int(platinum.loc[at_corner, "occupancy"].sum())
    ax.set_title(f"{names[name]}: {atoms} atoms", fontsize=9)
    ax.set_axis_off()
plt.show()

# %%
# What a detector counts
# ----------------------
#
# The set holds no noise; a frame of 0.45 electrons per pixel is a Poisson draw. On the right the
# true columns: platinum at the surface (red) and inside, cerium and oxygen.

frame = make_ptceo2(
    query=f"{upright} and thickness == 40 and defocus == 9", pixel_size=6.22, preset="quick"
)
counts = PoissonNoise(random_state=0).sample(frame.data)[0]
columns = frame.columns[0]
figure, axes = plt.subplots(1, 3, figsize=(9, 3.1), layout="constrained")
axes[0].imshow(counts, cmap="gray", vmax=3)
axes[1].imshow(frame.data[0], **GRAY)
axes[2].imshow(frame.data[0], **GRAY)
for element, colour, size in [("Ce", "gold", 6), ("O", "skyblue", 2), ("Pt", "white", 6)]:
    chosen = columns[columns["element"] == element]
    axes[2].scatter(chosen["x"], chosen["y"], s=size, color=colour)
surface = columns[columns["surface"] & (columns["element"] == "Pt")]
axes[2].scatter(surface["x"], surface["y"], s=12, color="red")
for ax, title in zip(axes, ("counts", "clean", "true columns"), strict=True):
    ax.set_title(title, fontsize=9)
    ax.set_axis_off()
plt.show()
