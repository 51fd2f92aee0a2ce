"""DICOM-SEG: planted masks come out on their slices, and everything else is refused."""

import numpy as np
import pydicom
import pytest
from dicom_files import CORONAL, SAGITTAL, at, item, write, write_segmentation, write_series, write_slice
from pydicom.uid import SegmentationStorage

from medsynth_lib.data import dicom
from medsynth_lib.data.slices import DataError

ROWS, COLUMNS = np.mgrid[:6, :5]
LABEL_MAP = "1.2.840.10008.5.1.4.1.1.66.7"
UPPER, LEFT = ROWS < 2, (COLUMNS < 2) & (ROWS >= 2)


@pytest.mark.parametrize("turn", [(1, 0, 0, 0, 1, 0), SAGITTAL, CORONAL, (0.8, 0.6, 0, -0.6, 0.8, 0)])
def test_masks_come_out_on_their_slices(tmp_path, turn):
    images = dicom.read_header(write_series(tmp_path / "ct", turn))
    frames = [
        (2, LEFT, at(3, turn)),
        (1, UPPER, at(0, turn)),
        (1, UPPER, at(3, turn)),
        (1, LEFT, at(3, turn, (9, 9, 9))),
    ]
    file = write_segmentation(tmp_path / "seg.dcm", frames[:3], turn=turn)
    labels, names = dicom.read_segmentation(file, images)
    right = np.zeros((4, 6, 5), np.uint8)
    right[0][UPPER], right[3][UPPER], right[3][LEFT] = 1, 1, 2
    assert np.array_equal(labels, right) and labels.dtype == np.uint8 and names == ("background", "core", "rim")
    file = write_segmentation(tmp_path / "seg.dcm", frames, turn=turn)
    with pytest.raises(DataError, match=r"frame 4 of .*seg.dcm lies 1[0-9.]* mm from the nearest image"):
        dicom.read_segmentation(file, images)


def test_labels_turn_with_their_volume(tmp_path):
    """A mask of the bright voxels is a mask of the bright voxels after both were brought to RAS order."""
    image = dicom.read_stack(write_series(tmp_path / "ct", SAGITTAL))
    bright = image.pixels[:, 0] > np.median(image.pixels)
    frames = [(1, mask, at(level, SAGITTAL)) for level, mask in enumerate(bright)]
    labels, _ = dicom.read_segmentation(write_segmentation(tmp_path / "seg", frames, ("bright",), turn=SAGITTAL), image)
    voxels, volume = dicom.as_nifti(image.pixels, image), dicom.as_nifti(labels, image)
    assert np.array_equal(voxels.affine, volume.affine)
    assert np.array_equal(voxels.get_fdata()[..., 0] > np.median(image.pixels), volume.get_fdata() == 1)


def test_numbers_with_gaps_become_consecutive_and_names_are_filled_in(tmp_path):
    images = dicom.read_header(write_series(tmp_path / "ct"))
    segments = [item(SegmentNumber=7, SegmentLabel="rim"), item(SegmentNumber=3)]
    frames = [(7, UPPER, at(0)), (3, LEFT, at(0))]
    file = write_segmentation(tmp_path / "seg", frames, SegmentSequence=segments)
    labels, names = dicom.read_segmentation(file, images)
    assert names == ("background", "segment 3", "rim")
    assert (labels[0][LEFT] == 1).all() and (labels[0][UPPER] == 2).all()


def test_without_positions_by_the_image_that_is_named(tmp_path):
    pixels = np.zeros((6, 5), np.uint8)
    header = dicom.read_header([write(tmp_path / "xray", pixels, SOPInstanceUID="1.2.3.4")])
    source = {"DerivationImageSequence": [item(SourceImageSequence=[item(ReferencedSOPInstanceUID="1.2.3.4")])]}
    file = write_segmentation(tmp_path / "seg", [(1, UPPER, source)])
    assert np.array_equal(dicom.read_segmentation(file, header)[0], [UPPER])
    other = {"DerivationImageSequence": [item(SourceImageSequence=[item(ReferencedSOPInstanceUID="1.2.3.5")])]}
    for fields in (other, {}):
        with pytest.raises(DataError, match=r"frame 1 of .*seg has no position and names no image"):
            dicom.read_segmentation(write_segmentation(tmp_path / "seg", [(1, UPPER, fields)]), header)


def test_frames_of_a_film_by_their_numbers(tmp_path):
    header = dicom.read_header([write(tmp_path / "film", np.zeros((3, 6, 5), np.uint8), SOPInstanceUID="1.2.3.4")])
    source = item(ReferencedSOPInstanceUID="1.2.3.4", ReferencedFrameNumber=3)
    fields = {"DerivationImageSequence": [item(SourceImageSequence=[source])]}
    labels, _ = dicom.read_segmentation(write_segmentation(tmp_path / "seg", [(1, UPPER, fields)]), header)
    assert not labels[:2].any() and np.array_equal(labels[2], UPPER)


@pytest.mark.parametrize(
    ("frames", "fields", "reason"),
    [
        ([(1, UPPER, at(0)), (2, ROWS < 1, at(0))], {}, "seg: the segments 'core' and 'rim' overlap"),
        ([(1, UPPER, at(0))], {"SegmentationType": "FRACTIONAL"}, "seg is FRACTIONAL; export .* BINARY"),
        ([(1, UPPER, at(0))], {"SegmentationType": None}, "seg is None"),
        ([(1, UPPER, at(0))], {"SegmentationType": "LABELMAP", "SOPClassUID": LABEL_MAP}, "seg is LABELMAP"),
        (
            [(1, UPPER, at(0))],
            {"ReferencedSeriesSequence": [item(SeriesInstanceUID="1.2")]},
            r"seg segments another series than that of .*ct/0.dcm",
        ),
        ([(1, UPPER, at(0))], {"turn": CORONAL}, "seg has another orientation or pixel size than"),
        ([(1, UPPER, at(0, shift=(0, 0, 1.5)))], {}, "frame 1 of .*seg lies 1.5 mm from the nearest image"),
        ([(1, UPPER, at(0, shift=(0.2, 0, 0)))], {}, "frame 1 of .*seg lies 0.2 mm from the nearest image"),
        ([(1, UPPER, at(4))], {}, "frame 1 of .*seg lies 3 mm from the nearest image"),
        ([(1, UPPER[:5], at(0))], {}, r"seg has \(5, 5\) rows and columns, but .*ct/0.dcm \(6, 5\)"),
        ([(9, UPPER, at(0))], {}, "seg cannot be read as DICOM"),
        ([(1, UPPER, at(0))], {"names": ("core", "core")}, "seg has segments of the same name"),
        ([(1, UPPER, at(0))], {"names": ("Background", "core")}, "seg has a segment called background"),
        (
            [(1, UPPER, at(0))],
            {"SegmentSequence": [item(SegmentNumber=k, SegmentLabel=f"s{k}") for k in range(1, 258)]},
            "seg has 257 segments",
        ),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, frames, fields, reason):
    images = dicom.read_header(write_series(tmp_path / "ct", levels=(2, 0, 3, 1)))
    with pytest.raises(DataError, match=reason):
        dicom.read_segmentation(write_segmentation(tmp_path / "seg", frames, **fields), images)


def test_an_image_is_no_segmentation(tmp_path):
    file = write_slice(tmp_path / "a.dcm")
    with pytest.raises(DataError, match="a.dcm is no segmentation"):
        dicom.read_segmentation(file, dicom.read_header([file]))


def test_the_written_files_are_as_the_standard_wants(tmp_path):
    data = pydicom.dcmread(write_segmentation(tmp_path / "seg", [(1, UPPER, at(0)), (2, LEFT, at(1))]))
    assert data.BitsAllocated == 1 and data.SOPClassUID == SegmentationStorage and len(data.PixelData) == 8
    assert np.array_equal(data.pixel_array, [UPPER, LEFT])
