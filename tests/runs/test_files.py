import multiprocessing
from io import BytesIO

import pytest

from forecastlab.runs.files import locked, write_newest, write_whole


def test_a_file_is_replaced_as_a_whole_and_nothing_else_is_left(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("before")
    held = path.open()
    write_whole(path, "after")
    assert held.read() == "before", "whoever reads the old one goes on with it"
    held.close()
    write_whole(path, b"\xff")
    assert path.read_bytes() == b"\xff"
    assert [found.name for found in tmp_path.iterdir()] == ["a.txt"]


def test_what_cannot_be_written_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("before")
    with pytest.raises(UnicodeEncodeError):
        write_whole(path, "\ud800")
    assert path.read_text() == "before"
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        write_whole(tmp_path / "folder", "text")
    assert sorted(found.name for found in tmp_path.iterdir()) == ["a.txt", "folder"]


def test_a_link_is_replaced_and_not_written_through(tmp_path):
    (tmp_path / "target").write_text("kept")
    (tmp_path / "link").symlink_to("target")
    write_whole(tmp_path / "link", "new")
    assert (tmp_path / "target").read_text() == "kept"
    assert not (tmp_path / "link").is_symlink()


def test_former_contents_are_kept_by_number_and_the_same_content_is_not_copied(tmp_path):
    path, picture = tmp_path / "a.csv", tmp_path / "a.png"
    kept = []
    for text in (b"1", b"1", b"2", b"3", b"3"):
        kept.append(write_newest(path, BytesIO(text), (picture,)))
        picture.write_bytes(b"of " + text)
    assert [one and one.name for one in kept] == [None, None, "a-1.csv", "a-2.csv", None]
    found = {one.name: one.read_bytes() for one in tmp_path.iterdir()}
    assert {name: text for name, text in found.items() if name.endswith("csv")} == {
        "a.csv": b"3",
        "a-1.csv": b"1",
        "a-2.csv": b"2",
    }
    assert (found["a-1.png"], found["a-2.png"], found["a.png"]) == (b"of 1", b"of 2", b"of 3")


def _write_often(path, number):
    for count in range(20):
        write_newest(path, BytesIO(f"{number} {count}".encode()))


def test_processes_that_write_at_once_lose_nothing(tmp_path):
    path = tmp_path / "a.csv"
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_write_often, args=(path, number)) for number in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    found = {one.read_text() for one in tmp_path.iterdir()}
    assert found == {f"{number} {count}" for number in range(3) for count in range(20)}
    assert len(list(tmp_path.iterdir())) == 60


def _add_often(path):
    for _ in range(50):
        with locked(path):
            write_whole(path, str(int(path.read_text() or 0) + 1))


def test_a_lock_holds_though_the_file_is_replaced_within_it(tmp_path):
    path = tmp_path / "count"
    context = multiprocessing.get_context("fork")
    adding = [context.Process(target=_add_often, args=(path,)) for _ in range(3)]
    for one in adding:
        one.start()
    for one in adding:
        one.join()
    assert path.read_text() == "150"
