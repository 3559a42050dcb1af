"""Profiles and settings, key figures, and how a lecture is found by name."""

import dataclasses

import pytest

from tests import tiny
from tests.tools.notebooks import crafted
from tinylab import course
from tinylab.support.errors import InvalidInputError, NotebookError
from tinylab.training.recipe import RECIPES


@pytest.fixture(autouse=True)
def _no_profile(monkeypatch):
    monkeypatch.delenv(course.VARIABLE, raising=False)


def test_profile_comes_from_argument_then_environment_then_default(monkeypatch):
    assert course.settings().profile == "lecture"
    monkeypatch.setenv(course.VARIABLE, "smoke")
    assert course.settings().profile == "smoke"
    assert course.settings("full").profile == "full"
    monkeypatch.setenv(course.VARIABLE, "")
    assert course.settings().profile == "lecture"


def test_unknown_profile_names_what_is_allowed_and_where_it_came_from(monkeypatch):
    with pytest.raises(InvalidInputError, match="profile 'lectur' is unknown, did you mean 'lecture'"):
        course.settings("lectur")
    monkeypatch.setenv(course.VARIABLE, "fast")
    with pytest.raises(InvalidInputError, match=f"environment variable {course.VARIABLE}.*smoke, lecture, full"):
        course.settings()


@pytest.mark.parametrize("seed", [-1, 1.5, True, "0"])
def test_a_seed_is_an_integer_from_0(seed):
    with pytest.raises(InvalidInputError, match="seed"):
        course.settings(seed=seed)


def test_data_must_say_something():
    with pytest.raises(InvalidInputError, match="data"):
        course.settings(data=" ")


def test_smoke_and_lecture_load_the_same_images_and_differ_in_training_only():
    smoke, lecture = (dataclasses.asdict(course.settings(profile)) for profile in ("smoke", "lecture"))
    for name in ("classes", "data", "seed"):
        assert smoke[name] == lecture[name]
    assert smoke["per_class"] < lecture["per_class"]
    assert smoke["epochs"] < lecture["epochs"]
    assert course.settings("full").classes is None
    with pytest.raises(dataclasses.FrozenInstanceError):
        course.settings().epochs = 3  # type: ignore[misc]


def test_shorten_keeps_the_recipe_and_takes_the_profile_s_sizes():
    settings = course.settings("smoke", seed=5)
    short = settings.shorten(RECIPES["report"])
    assert short == dataclasses.replace(RECIPES["report"], epochs=settings.epochs, batch=settings.batch, seed=5)
    assert short.l2 == 0.01


def test_part_keeps_classes_and_takes_few_images():
    data = tiny.dataset()
    few = course.settings("smoke").part(data)
    assert few.classes == data.classes
    smoke = course.settings("smoke")
    assert len(few.train) == smoke.per_class * len(data.classes)
    assert len(few.validation) == len(few.development) == smoke.watched * len(data.classes)
    assert course.settings("full").part(data) is data


def test_settings_say_profile_data_and_device_in_one_line():
    settings = course.settings("lecture", seed=2)
    bundle = settings._repr_mimebundle_()
    line = bundle["text/plain"]
    assert "\n" not in line
    for words in ("profile lecture", "data sample", "seed 2", "on "):
        assert words in line
    assert bundle[course.SETTINGS_MIME]["device"] in line


def test_key_figure_is_shown_and_can_be_collected(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda data, raw: shown.append(data))
    course.key_figure("accuracy <val>", "41 %")
    (data,) = shown
    assert data["text/plain"] == "accuracy <val>: 41 %"
    assert "accuracy &lt;val&gt;" in data["text/html"]
    assert data[course.KEY_FIGURE_MIME] == {"name": "accuracy <val>", "text": "41 %"}


@pytest.fixture
def lectures(tmp_path, monkeypatch):
    folder = tmp_path / "notebooks"
    folder.mkdir()
    for name in ("01_data", "03_model_1", "10_beyond"):
        crafted.write(folder, name, crafted.notebook("1"))
    (folder / "notes.ipynb").write_text("{}")
    monkeypatch.chdir(tmp_path)
    return folder


def test_no_name_means_all_lectures_in_order(lectures):
    assert [path.stem for path in course.find()] == ["01_data", "03_model_1", "10_beyond"]


@pytest.mark.parametrize("name", ["03_model_1", "03", "3", "model_1", "03_model_1.ipynb", "notebooks/03_model_1.ipynb"])
def test_a_lecture_is_found_by_name_number_or_path(lectures, name):
    (found,) = course.find([name])
    assert found.samefile(lectures / "03_model_1.ipynb")


def test_any_notebook_is_found_by_its_path(lectures):
    (found,) = course.find([str(lectures / "notes.ipynb")])
    assert found.name == "notes.ipynb"


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["03_modle_1"], "did you mean '03_model_1'"),
        (["4"], "Allowed: 01_data, 03_model_1, 10_beyond"),
        (["elsewhere/01_data.ipynb"], "there is no notebook at"),
        (["3", "model_1"], "more than once"),
    ],
)
def test_unknown_names_are_refused(lectures, names, words):
    with pytest.raises(NotebookError, match=words):
        course.find(names)


def test_lectures_nowhere_to_be_found(tmp_path, monkeypatch):
    from tinylab.course import lectures

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(lectures, "__file__", str(tmp_path / "site-packages" / "tinylab" / "course" / "lectures.py"))
    with pytest.raises(NotebookError, match="no lectures found"):
        course.find()
