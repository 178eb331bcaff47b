import csv
from collections import Counter

import numpy as np
import pytest
from scipy.ndimage import center_of_mass
from scipy.spatial.transform import Rotation

from camfast.errors import InputError
from camfast.simulate import SHAPES, Particle, shape, subtomogram, tomogram, write_particles
from camfast.simulate.particles import pack, templates
from camfast.simulate.tomogram import density_of

SIZE = (40, 80, 72)


@pytest.fixture(scope="module")
def crowded():
    return tomogram(SIZE, 8, seed=4, snr=0.5)


def test_the_same_seed_gives_the_same_tomogram_and_another_another(crowded):
    again, other = (tomogram(SIZE, 8, seed=seed, snr=0.5) for seed in (4, 5))
    assert np.array_equal(again.data, crowded.data)
    assert again.particles == crowded.particles
    assert other.particles != crowded.particles
    assert (crowded.data.shape, crowded.data.dtype) == (SIZE, np.float32)
    assert (crowded.labels, crowded.voxel_angstrom) == (tuple(SHAPES), 10.0)


def test_particles_are_shared_evenly_or_as_asked(crowded):
    assert set(Counter(particle.label for particle in crowded.particles).values()) == {1}
    assert all(crowded.labels[particle.class_index] == particle.label for particle in crowded.particles)
    asked = {"ring": 3, "ball": 1}
    some = tomogram(SIZE, asked, seed=0, densities=("ball", "ring", "rod"))
    assert Counter(particle.label for particle in some.particles) == asked
    with pytest.raises(InputError, match="'cube', which is no density"):
        tomogram(SIZE, {"cube": 1}, seed=0)


def test_no_two_particles_share_a_voxel():
    data = tomogram((64, 96, 96), 28, seed=11, gap=0.0)
    known = templates(None)
    covered = sum(density_of(known, [particle], (64, 96, 96)) > 0.05 for particle in data.particles)
    assert covered.max() == 1


@pytest.mark.parametrize("gap", [0.0, 3.0])
def test_packed_spheres_keep_their_distance_and_the_walls(gap):
    radii = np.random.default_rng(0).uniform(2, 8, 40)
    centres = np.array(pack(radii, (50, 60, 70), gap, np.random.default_rng(1)))
    distances = np.linalg.norm(centres[:, None] - centres, axis=2) - radii[:, None] - radii
    assert distances[~np.eye(40, dtype=bool)].min() >= gap
    assert (centres - radii[:, None]).min() >= 0
    assert (centres + radii[:, None] - [49, 59, 69]).max() <= 0


def test_what_does_not_fit_is_counted():
    with pytest.raises(InputError, match=r"only [1-9]\d* of 99 particles found room in \(30, 30, 30\) voxels"):
        tomogram((30, 30, 30), 99, seed=0)
    with pytest.raises(InputError, match="only 0 of 1 particles"):
        tomogram((12, 40, 40), {"ring": 1}, seed=0)


def test_the_table_says_where_the_density_is(crowded):
    known = templates(None)
    for particle in crowded.particles:
        alone = density_of(known, [particle], SIZE)
        np.testing.assert_allclose(center_of_mass(alone), particle.centre, atol=0.02)


def test_the_quaternion_turns_the_density_as_given():
    density = np.zeros((21, 21, 21), np.float32)
    arms = {(0, 0, 8): 3.0, (0, 7, 0): 2.0, (6, 0, 0): 1.0}  # (z, y, x) from the centre
    axis = np.arange(21) - 10
    grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1)
    for position, height in arms.items():
        density += height * np.exp(-((grid - position) ** 2).sum(-1) / 8).astype(np.float32)
    rotation = Rotation.from_euler("zyx", [40, -25, 65], degrees=True)
    particle = Particle(0, "arms", (24.3, 25.6, 23.9), tuple(rotation.as_quat()))
    volume = density_of(templates({"arms": density}), [particle], (50, 50, 50))
    for position, height in arms.items():
        turned = rotation.apply(position[::-1])[::-1] + particle.centre
        near = tuple(slice(round(c) - 3, round(c) + 4) for c in turned)
        found = np.array(center_of_mass(volume[near] * (volume[near] > 0.3 * height))) + [s.start for s in near]
        np.testing.assert_allclose(found, turned, atol=0.35)
        assert volume[near].max() == pytest.approx(height, rel=0.1)


def test_a_whole_tomogram_is_a_subtomogram_with_many_particles():
    one = subtomogram("shell", seed=3, size=40, snr=np.inf, shift=2.0, normalize=False)
    known = templates(["shell"])
    assert np.abs(np.array(one.particle.centre) - 19.5).max() <= 2.0
    many = tomogram((40, 40, 40), {"shell": 1}, seed=3, densities=["shell"], snr=np.inf)
    density = density_of(known, many.particles, (40, 40, 40))
    assert many.data.std() == pytest.approx(one.data.std(), rel=0.1)
    assert np.corrcoef(-density.ravel(), many.data.ravel())[0, 1] > 0.3


def test_subtomograms_of_arrays_are_normalised_and_reproducible():
    density = np.pad(shape("tetrapod", 24), ((0, 5), (3, 0), (0, 0)))
    one, two, other = (subtomogram(density, seed=seed, size=33) for seed in (8, 8, 9))
    assert np.array_equal(one.data, two.data)
    assert not np.array_equal(one.data, other.data)
    assert one.data.shape == (33, 33, 33)
    assert one.data.mean() == pytest.approx(0, abs=1e-5)
    assert one.data.std() == pytest.approx(1, abs=1e-5)


def test_orientations_are_uniform():
    turns = [subtomogram("ball", seed=seed, size=8).particle.quaternion for seed in range(300)]
    ends = Rotation.from_quat(turns).apply([0, 0, 1])
    np.testing.assert_allclose(ends.mean(0), 0, atol=0.12)
    np.testing.assert_allclose(ends.T @ ends / len(ends), np.eye(3) / 3, atol=0.08)


@pytest.mark.parametrize(
    ("densities", "message"),
    [
        ({}, "at least one density"),
        ({"flat": np.ones((3, 3))}, "'flat' must be a finite"),
        ({"nan": np.full((3, 3, 3), np.nan)}, "'nan' must be a finite"),
        ({"dark": -np.ones((3, 3, 3))}, "'dark' must be a finite"),
        ({"none": np.zeros((0, 3, 3))}, "'none' must be a finite"),
        (["cube"], "unknown shape 'cube'"),
    ],
)
def test_densities_that_cannot_be_used_are_named(densities, message):
    with pytest.raises(InputError, match=message):
        tomogram(SIZE, 1, seed=0, densities=densities)


def test_the_table_is_written_as_csv(tmp_path, crowded):
    write_particles(tmp_path / "truth.csv", crowded.particles)
    with (tmp_path / "truth.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["class_index", "label", "z", "y", "x", "qx", "qy", "qz", "qw"]
    for row, particle in zip(rows, crowded.particles, strict=True):
        assert (int(row["class_index"]), row["label"]) == (particle.class_index, particle.label)
        numbers = [float(row[key]) for key in ("z", "y", "x", "qx", "qy", "qz", "qw")]
        np.testing.assert_allclose(numbers, [*particle.centre, *particle.quaternion], rtol=1e-5)


@pytest.mark.realdata
def test_real_templates_make_a_tomogram(data_dir):
    import mrcfile

    densities = {name: mrcfile.read(data_dir / "templates" / f"{name}.mrc") for name in ("1bxn", "4v4r", "3gl1")}
    data = tomogram((64, 128, 128), 12, seed=2, densities=densities, snr=0.5)
    assert Counter(particle.label for particle in data.particles) == {"1bxn": 4, "4v4r": 4, "3gl1": 4}
    assert np.isfinite(data.data).all()
