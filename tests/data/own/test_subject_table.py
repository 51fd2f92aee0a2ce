"""subjects.csv as spreadsheets and people write it."""

import unicodedata

import pytest

from medsynth_lib.data.own.subject_table import read_subjects
from medsynth_lib.data.slices import DataError

OWNERS = {"a": "M\u00fcller", "b": "M\u00fcller", "c": "p 2"}
TABLE = "file,subject\na.png,M\u00fcller\nb.png,M\u00fcller\nc.nii.gz,p 2\n"


@pytest.fixture
def images(tmp_path):
    (tmp_path / "images").mkdir()
    return {name[0]: tmp_path / "images" / name for name in ("a.png", "b.png", "c.nii.gz")}


def read(images, content=TABLE, name="subjects.csv", encoding="utf-8"):
    """(owners, notes) with the table in the folder above that of the images."""
    path = images["a"].parents[1]
    (path / name).write_bytes(content.encode(encoding))
    return read_subjects(path, [path / "images"], images, notes := []), notes


def test_no_table(images):
    assert read_subjects(images["a"].parents[1], [images["a"].parent], images, []) is None


@pytest.mark.parametrize("name", ["subjects.csv", "Subjects.csv", "SUBJECTS.CSV"])
@pytest.mark.parametrize("separator", [",", ";", "\t", ", ", " ; "])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_every_way_of_writing_it(images, name, separator, encoding):
    assert read(images, TABLE.replace(",", separator), name, encoding) == (OWNERS, [])


@pytest.mark.parametrize(
    "content",
    [
        TABLE.replace("\n", "\r\n"),
        TABLE.replace("\n", "\r"),
        TABLE.replace("file,subject", "File,Subject"),
        TABLE.replace("file,subject", " FILE , subject "),
        TABLE + "\n,\n",
        TABLE.replace("\n", ",,\n").replace("file,subject,,", "file,subject,,"),
        TABLE.replace(".png", ""),
        TABLE.replace("a.png", "images/a.png").replace("b.png", r"C:\scans\b.png"),
        TABLE.replace("p 2", '"p 2"'),
        unicodedata.normalize("NFD", TABLE),
        TABLE.replace("b.png,M\u00fcller", unicodedata.normalize("NFD", "b.png,M\u00fcller")),
        "age,subject,file\n" + "9,M\u00fcller,a.png\n9,M\u00fcller,b.png\n7,p 2,c\n",
        TABLE + "a.png,M\u00fcller\n",  # twice, but the same
    ],
)
def test_untidy_but_clear(images, content):
    assert read(images, content) == (OWNERS, [])


def test_windows_1252_is_noted(images):
    assert read(images, encoding="cp1252") == (OWNERS, ["subjects.csv that is not UTF-8, read as Windows-1252"])


def test_rows_without_an_image_are_counted(images):
    owners, notes = read(images, TABLE + "d.png,p3\ne.png,p4\n")
    assert owners == OWNERS and notes == ["rows of subjects.csv without an image"] * 2


def test_names_of_files_are_compared_in_one_unicode_form(images):
    name = unicodedata.normalize("NFD", "M\u00fc.png")
    both = {**images, unicodedata.normalize("NFC", "M\u00fc"): images["a"].with_name(name)}
    assert read(both, TABLE + "M\u00fc.png,p9\n")[0]["M\u00fc"] == "p9"


HEADER = "file,subject\n"
REFUSED = {
    "gives a.png the subjects M\u00fcller and p9": TABLE + "a.png,p9\n",
    "gives b.png the subjects M\u00fcller and p7": TABLE + "b,p7\n",
    "gives a.png the subjects M\u00fcller and p5": TABLE + "siteB/a.png,p5\n",
    "has the columns 'name', 'patient'; it needs the columns file,subject": "name,patient\na.png,1\n",
    "has the columns 'file'; ": "file\na.png\n",
    "has the columns 'file', 'subject', 'subject'; ": "file,subject,subject\na.png,1,2\n",
    "has the columns none; ": "",
    "has the columns 'sep=', ''; ": "sep=;\nfile;subject\na.png;1\n",
    "lacks the file or the subject in line 3": HEADER + "a.png,p1\nb.png,\nc.nii.gz,p2\n",
    "has 3 cells in line 2 but 2 columns; put quotes": HEADER + "a.png,Li, Wei\nb.png,Li, Na\nc,1\n",
    "has 1 cells in line 2": HEADER + "a.png\n",
    r"does not name c.nii.gz \(it names 2 files, such as a.png\); add a row c.nii.gz,<subject>": HEADER
    + "a.png,1\nb,1\n",
    "does not name b.png": TABLE.replace("b.png", "b.jpg"),
    "subjects P1 and p1, which differ in capitals": HEADER + "a.png,p1\nb.png,P1\nc,2\n",
    "cannot be read .*save it as CSV in UTF-8": HEADER + 'a.png,"p1\nb.png,p1\nc,2\n',
}


@pytest.mark.parametrize("sentence", REFUSED)
def test_tables_that_do_not_decide_are_refused(images, sentence):
    with pytest.raises(DataError, match=f"subjects.csv.*{sentence}"):
        read(images, REFUSED[sentence])


@pytest.mark.parametrize(
    "name",
    ["subjects.csv.csv", "images/subjects.csv", "subject.csv", "patients.xlsx", "participants.tsv", "Subjects.txt"],
)
def test_a_table_of_a_similar_name_is_pointed_out(images, name):
    with pytest.raises(
        DataError, match=f"{name} looks like the list of subjects, which is expected as .*/subjects.csv"
    ):
        read(images, name=name)


def test_two_tables_are_refused(images):
    read(images, name="Subjects.csv")
    with pytest.raises(DataError, match="holds Subjects.csv and subjects.csv; keep one"):
        read(images)


def test_a_table_whose_content_is_missing_is_named(images, tmp_path):
    (tmp_path / "subjects.csv").symlink_to("/nowhere/annex")
    with pytest.raises(DataError, match="subjects.csv is a link to /nowhere/annex"):
        read_subjects(tmp_path, [tmp_path / "images"], images, [])


NESTED = {  # key -> file of single images in folders, and of the first slices of series in folders of their own
    "a": "images/a.dcm",
    "p1_a": "images/p1/a.dcm",
    "p2_a": "images/p2/a.dcm",
    "p1_s": "images/p1/s/0.dcm",
    "p2_ct_s": "images/p2/ct/s/0.dcm",
    "p3_0123456789ab": "images/p3/0.dcm",  # two series in one folder
    "p3_ba9876543210": "images/p3/7.dcm",
    "p4_IM.0001": "images/p4/IM.0001",
    "p4_IM.0002": "images/p4/IM.0002",
    "test/p1_a": "test/images/p1/a.dcm",
}
CLASSES = {
    "x/p1_s": "x/p1/s/0.dcm",
    "x/b": "x/b.dcm",
    "y/p1_s": "y/p1/s/0.dcm",
    "y/c": "y/c.dcm",
    "y/p2_t": "y/p2/t/0.dcm",
}
NESTED_FOLDERS, CLASS_FOLDERS = ("images", "test/images", "test"), ("x", "y")


def said_of(tmp_path, files, folders, row):
    """What is said of a row that gives an image a second subject, or is of no image: an error or the notes."""
    images = {key: tmp_path / file for key, file in files.items()}
    for folder in folders:
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    others = "".join(f"{file},other\n" for file in files.values())
    (tmp_path / "subjects.csv").write_text(f"file,subject\n{others}{row},p\n")
    try:
        read_subjects(tmp_path, [tmp_path / folder for folder in folders], images, notes := [])
    except DataError as error:
        return str(error)
    return notes


@pytest.mark.parametrize(
    ("row", "name"),
    [
        ("images/p1/a.dcm", "images/p1/a.dcm"),
        ("images/p2/a", "p2/a.dcm"),
        ("p2/a.dcm", "p2/a.dcm"),
        ("a.dcm", "a.dcm"),
        ("images/a", "a.dcm"),
        ("p2_a", "p2/a.dcm"),
        ("p1/s", "p1/s"),
        ("p1/s/", "p1/s"),
        ("images/p1/s", "p1/s"),
        ("p1/s/0.dcm", "p1/s"),
        ("p2/ct/s", "p2/ct/s"),
        ("ct/s", "p2/ct/s"),
        (r"D:\trial\images\p1\s", "p1/s"),
        ("/data/p2/a.dcm", "p2/a.dcm"),
        ("p3/ba9876543210", "p3/7.dcm"),
        ("images/p3/ba9876543210", "p3/7.dcm"),
        ("p3_ba9876543210", "p3/7.dcm"),
        ("IM.0002", "p4/IM.0002"),
        ("test/p1/a.dcm", "test/p1/a.dcm"),
        ("test/images/p1/a", "test/p1/a.dcm"),
        ("/trial/test/images/p1/a.dcm", "test/p1/a.dcm"),
    ],
)
def test_images_in_folders_are_named_by_their_paths(tmp_path, row, name):
    said = said_of(tmp_path, NESTED, NESTED_FOLDERS, row)
    assert f"gives {name} the subjects other and p" in said


@pytest.mark.parametrize(
    ("row", "both"),
    [
        ("p1/a.dcm", "images/p1/a or test/images/p1/a"),
        ("p4/IM", "images/p4/IM.0001 or images/p4/IM.0002"),
        ("s", "images/p1/s or images/p2/ct/s"),
    ],
)
def test_a_name_of_two_images_is_refused_with_their_paths(tmp_path, row, both):
    said = said_of(tmp_path, NESTED, NESTED_FOLDERS, row)
    assert f"subjects.csv names {row}, which may be {both}; write the folder, too" in said


@pytest.mark.parametrize(
    "row",
    [
        *("p9/a.dcm", "p9/s", "D:/p9/a.dcm", "ct", "p1", "images", "0.png"),
        *("test/p2/a.dcm", "test/images/p2/a.dcm", "/trial/testing/images/p2/a.dcm"),
    ],
)
def test_an_image_in_another_folder_is_another_image(tmp_path, row):
    assert said_of(tmp_path, NESTED, NESTED_FOLDERS, row) == ["rows of subjects.csv without an image"]


def test_a_folder_that_is_called_test_itself(tmp_path):
    assert "gives p2/a.dcm the" in said_of(tmp_path / "test", NESTED, NESTED_FOLDERS, "D:/test/images/p2/a.dcm")


@pytest.mark.parametrize(
    ("row", "name"),
    [
        ("x/p1/s", "x/p1/s"),
        ("/data/y/p1/s", "y/p1/s"),
        ("x/p1_s", "x/p1/s"),
        ("p2/t", "y/p2/t"),
        ("t", "y/p2/t"),
        ("b.dcm", "x/b.dcm"),
        ("x/b", "x/b.dcm"),
    ],
)
def test_images_of_classes_are_named_by_their_paths(tmp_path, row, name):
    said = said_of(tmp_path, CLASSES, CLASS_FOLDERS, row)
    assert f"gives {name} the subjects other and p" in said


def test_images_of_two_classes_and_of_none(tmp_path):
    said = said_of(tmp_path, CLASSES, CLASS_FOLDERS, "p1/s")
    assert "names p1/s, which may be x/p1/s or y/p1/s; write the folder, too" in said
    for row in ("z/p2/t", "z/b.dcm", "y/b.dcm", "x", "x/p1"):
        assert said_of(tmp_path, CLASSES, CLASS_FOLDERS, row) == ["rows of subjects.csv without an image"]
