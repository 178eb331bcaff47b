"""OME-Zarr: written 0.5 holds to the standard, and 0.4 and 0.5 are read."""

import numpy as np
import ome_zarr_models.v05
import pytest
import zarr

import camfast
from camfast.errors import InputError
from camfast.scan import Volume, read_volume, write_volumes

SHAPE = (5, 9, 130)


@pytest.fixture
def data():
    return np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)


def halved(volume):
    """Mean of every 2 × 2 × 2 block, of what there is of it at the ends."""
    out = np.zeros([-(-n // 2) for n in volume.shape])
    for z, y, x in np.ndindex(*out.shape):
        out[z, y, x] = volume[2 * z : 2 * z + 2, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2].mean(dtype=np.float64)
    return out


def test_what_is_written_holds_to_the_standard(tmp_path, data):
    like = Volume(data, (4.0, 3.0, 2.0), (30.0, 20.0, 10.0))
    write_volumes(tmp_path / "cam.zarr", [data], like, attributes={"method": "respond"})
    group = zarr.open_group(tmp_path / "cam.zarr", mode="r")
    image = ome_zarr_models.v05.Image.from_zarr(group)
    (multiscale,) = image.ome_attributes.multiscales
    assert [(axis.name, axis.type, axis.unit) for axis in multiscale.axes] == [(a, "space", "angstrom") for a in "zyx"]
    assert [dataset.path for dataset in multiscale.datasets] == ["0", "1", "2"]
    for level, dataset in enumerate(multiscale.datasets):
        scale, translation = dataset.coordinateTransformations
        assert scale.scale == [4.0 * 2**level, 3.0 * 2**level, 2.0 * 2**level]
        # The outer faces of all levels coincide: centre of the first voxel minus half its edge.
        faces = np.array(translation.translation) - np.array(scale.scale) / 2
        np.testing.assert_allclose(faces, [28.0, 18.5, 9.0])
    assert group.metadata.zarr_format == 3
    assert group["0"].chunks == (5, 9, 128)
    assert group.attrs["camfast"] == {"method": "respond", "version": camfast.__version__}


def test_levels_are_means_of_the_one_below(tmp_path, data):
    write_volumes(tmp_path / "cam.zarr", [data], Volume(data))
    group = zarr.open_group(tmp_path / "cam.zarr", mode="r")
    np.testing.assert_array_equal(group["0"][...], data)
    np.testing.assert_allclose(group["1"][...], halved(data), atol=1e-6)
    np.testing.assert_allclose(group["2"][...], halved(halved(data)), atol=1e-6)


def test_thin_volumes_have_levels_too(tmp_path, data):
    for thin in (data[:1, :4, :2], data[:2, :1, :1]):
        path = tmp_path / f"{len(thin)}.zarr"
        write_volumes(path, [thin], Volume(thin))
        group = zarr.open_group(path, mode="r")
        np.testing.assert_allclose(group["1"][...], halved(thin), atol=1e-6)  # means in float32
        np.testing.assert_allclose(group["2"][...], halved(halved(thin)), atol=1e-6)


def test_channels(tmp_path, data):
    write_volumes(tmp_path / "cam.zarr", iter([data, -data]), Volume(data, (2.0, 2.0, 2.0)), channels=2)
    group = zarr.open_group(tmp_path / "cam.zarr", mode="r")
    image = ome_zarr_models.v05.Image.from_zarr(group)
    assert [axis.name for axis in image.ome_attributes.multiscales[0].axes] == ["c", "z", "y", "x"]
    np.testing.assert_array_equal(group["0"][...], [data, -data])
    with pytest.raises(InputError, match="2 entries along the axis 'c'"):
        read_volume(tmp_path / "cam.zarr")


def test_channels_have_names(tmp_path, data):
    write_volumes(tmp_path / "cam.zarr", iter([data, -data]), Volume(data), channels=["ball", "rod"])
    group = zarr.open_group(tmp_path / "cam.zarr", mode="r")
    ome_zarr_models.v05.Image.from_zarr(group)
    shown = group.attrs["ome"]["omero"]["channels"]
    assert [channel["label"] for channel in shown] == ["ball", "rod"]
    assert [(channel["window"]["min"], channel["window"]["max"]) for channel in shown] == [
        (data.min(), data.max()),
        (-data.max(), -data.min()),
    ]


def test_a_rerun_gives_the_same_bytes(tmp_path, data):
    for name in ("a.zarr", "b.zarr"):
        (tmp_path / name).mkdir()
        write_volumes(tmp_path / name / "cam.zarr", [data], Volume(data, (2.0, 2.0, 2.0)))
    first, second = (
        {p.relative_to(tmp_path / name): p.read_bytes() for p in (tmp_path / name).rglob("*") if p.is_file()}
        for name in ("a.zarr", "b.zarr")
    )
    assert first == second
    assert len(first) > 4


def test_written_and_read_again(tmp_path, data):
    like = Volume(data, (4.0, 3.0, 2.0), start=(1, 2, 3))
    write_volumes(tmp_path / "cam.zarr", [data], like)
    volume = read_volume(tmp_path / "cam.zarr")
    assert volume.data.chunks == (5, 9, 128)
    np.testing.assert_array_equal(volume.data[...], data)
    assert volume.voxel_angstrom == like.voxel_angstrom
    assert volume.origin == (4.0, 6.0, 6.0)


def test_an_unknown_voxel_size_stays_unknown(tmp_path, data):
    write_volumes(tmp_path / "cam.zarr", [data], Volume(data))
    assert read_volume(tmp_path / "cam.zarr").voxel_angstrom is None
    ome_zarr_models.v05.Image.from_zarr(zarr.open_group(tmp_path / "cam.zarr", mode="r"))


def image_04(path, data, axes, transformations, everywhere=()):
    group = zarr.open_group(path, mode="w", zarr_format=2)
    group.create_array("full", data=data)
    image = {
        "version": "0.4",
        "axes": axes,
        "datasets": [{"path": "full", "coordinateTransformations": transformations}],
    }
    group.attrs["multiscales"] = [{**image, "coordinateTransformations": list(everywhere)}]


def test_version_04_with_time_channel_and_nanometres(tmp_path, data):
    axes = [{"name": "t", "type": "time"}, {"name": "c", "type": "channel"}]
    axes += [{"name": name, "type": "space", "unit": "nanometer"} for name in "zyx"]
    steps = [
        {"type": "scale", "scale": [1, 1, 0.4, 0.3, 0.2]},
        {"type": "translation", "translation": [0, 0, 3, 2, 1]},
    ]
    image_04(tmp_path / "a.zarr", data[None, None], axes, steps, [{"type": "scale", "scale": [1, 1, 2, 2, 2]}])
    volume = read_volume(tmp_path / "a.zarr")
    np.testing.assert_array_equal(volume.data, data)
    assert volume.voxel_angstrom == pytest.approx((8.0, 6.0, 4.0))
    assert volume.origin == pytest.approx((60.0, 40.0, 20.0))


def test_other_orders_of_axes_and_missing_units(tmp_path, data):
    image_04(tmp_path / "a.zarr", data.transpose(2, 1, 0), [{"name": name} for name in "xyz"], [])
    volume = read_volume(tmp_path / "a.zarr")
    np.testing.assert_array_equal(volume.data, data)
    assert volume.voxel_angstrom is None


def test_a_plain_array_is_a_volume(tmp_path, data):
    zarr.save_array(tmp_path / "a.zarr", data)
    np.testing.assert_array_equal(read_volume(tmp_path / "a.zarr").data[...], data)


@pytest.mark.parametrize("version", [2, 3])
def test_a_store_of_one_image_as_bioformats2raw_writes_it(tmp_path, data, version):
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=version)
    layout = {"bioformats2raw.layout": 3}
    group.attrs.update(layout if version == 2 else {"ome": {"version": "0.5", **layout}})
    scaled = {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [3, 2, 2]}]}
    image = {"axes": [{"name": axis, "type": "space", "unit": "nanometer"} for axis in "zyx"], "datasets": [scaled]}
    for name in ("0", "1"):
        child = group.create_group(name)
        child.create_array("0", data=data)
        child.attrs.update({"multiscales": [image]} if version == 2 else {"ome": {"multiscales": [image]}})
        volume = read_volume(tmp_path / "a.zarr" / name) if name == "1" else read_volume(tmp_path / "a.zarr")
        np.testing.assert_array_equal(volume.data, data)
        assert volume.voxel_angstrom == (30.0, 20.0, 20.0)
    with pytest.raises(InputError, match=r"a.zarr: holds several images; name one of them, as .*a.zarr/0"):
        read_volume(tmp_path / "a.zarr")
    np.testing.assert_array_equal(read_volume(tmp_path / "a.zarr" / "0" / "0").data, data)  # an array of it


def test_what_is_no_image_is_refused(tmp_path, data):
    zarr.open_group(tmp_path / "empty.zarr", mode="w")
    (tmp_path / "folder.zarr").mkdir()
    for name in ("empty", "folder"):
        with pytest.raises(InputError, match=f"{name}.zarr: no OME-Zarr image"):
            read_volume(tmp_path / f"{name}.zarr")
    image_04(tmp_path / "flat.zarr", data[0], [{"name": "y"}, {"name": "x"}], [])
    with pytest.raises(InputError, match=r"axes \['y', 'x'\] .* expected z, y and x"):
        read_volume(tmp_path / "flat.zarr")
    (tmp_path / "file.zarr").write_bytes(b"")
    with pytest.raises(InputError, match=r"file.zarr: is a file, expected a folder"):
        read_volume(tmp_path / "file.zarr")
