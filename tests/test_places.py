from dataflow.places import resource_file


def test_the_folder_at_hand_comes_before_what_came_with_the_package(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    came_with_it = resource_file("cluster", "local", ".yaml")
    (tmp_path / "cluster").mkdir()
    (tmp_path / "cluster" / "local.yaml").write_text("class: x.Y\n")
    assert came_with_it is not None
    assert resource_file("cluster", "local", ".yaml") == tmp_path / "cluster" / "local.yaml"


def test_a_path_is_taken_as_given(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("")
    assert resource_file("cluster", str(path), ".yaml") == path
    assert resource_file("cluster", str(tmp_path / "other.yaml"), ".yaml") is None


def test_a_folder_at_hand_that_was_removed_is_in_nobodys_way(tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert resource_file("cluster", "local", ".yaml") is not None
