from pathlib import Path
from typing import Any

import pytest

from nst_lightning.errors import InputError, UsageError
from nst_lightning.study.spec.config_files import locate_config
from nst_lightning.study.spec.declaration import Section, flatten_options
from nst_lightning.study.spec.grid import choose_axes, create_layouts
from nst_lightning.study.spec.labels import axis_label, slug, value_label
from nst_lightning.study.spec.missing_layers import drop_missing_layers
from nst_lightning.study.spec.study_files import read_study
from nst_lightning.study.spec.study_resolver import StudyResolver
from tests.study.studies import ROOT, create_section, run_study, write_study

CONFIGS = ROOT / "configs"


def resolve_study(folder: Path, *sections: dict[str, Any], **declared: Any) -> Any:
    return StudyResolver([folder]).resolve(read_study([str(write_study(folder, *sections, **declared))]))


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_flatten_options_keeps_classes_whole() -> None:
    nested = {"model": {"losses": {"style": {"weight": 3}}, "backbone": {"class_path": "VGG19", "init_args": {"a": 1}}}}
    assert flatten_options(nested | {"data.content": "x.png"}) == {
        "model.losses.style.weight": 3,
        "model.backbone": {"class_path": "VGG19", "init_args": {"a": 1}},
        "data.content": "x.png",
    }


@pytest.mark.parametrize(
    ("value", "word"),
    [
        ([f"conv_{n}" for n in range(1, 6)], "conv_1-5"),
        (["conv_3"], "conv_3"),
        (["conv_1", "conv_3"], "conv_1, conv_3"),
        (1e6, "1e6"),
        (1_500_000, "1.5e6"),
        (0.02, "0.02"),
        (92, "92"),
        ("sample:harbour", "harbour"),
        ("pictures/my photo.jpg", "my photo"),
        ("noise", "noise"),
        ({"class_path": "torch.optim.Adam"}, "Adam"),
    ],
)
def test_value_label_is_short(value: Any, word: str) -> None:
    assert value_label(value) == word


def test_axis_label_is_short() -> None:
    assert axis_label("model.losses.style.init_args.weight") == "style weight"
    assert axis_label("seed_everything") == "seed"
    assert axis_label("data.plan.size") == "size"
    assert slug("Style weight: 1") == "style_weight_1"


def test_layouts_have_rows_columns_and_further_figures() -> None:
    axes: dict[str, Any] = {"a": [1, 2], "b": [1, 2, 3], "c": [1, 2]}
    made = Section("t", "c.yaml", axes=axes)
    assert choose_axes(made) == ("b", "c")
    assert [len(layout.rows) * len(layout.columns) for layout in create_layouts(made)] == [6, 6]
    assert [list(layout.common) for layout in create_layouts(made)] == [["a"], ["a"]]
    assert choose_axes(Section("t", "c.yaml", axes=axes, rows="c")) == ("c", "b")
    assert choose_axes(Section("t", "c.yaml", axes={"a": [1]})) == (None, "a")
    assert choose_axes(Section("t", "c.yaml", snapshots=[1, 2], axes={"a": [1]})) == ("a", "step")
    assert choose_axes(Section("t", "c.yaml")) == (None, None)


def test_study_resolves_equal_runs_to_one(tmp_path: Path) -> None:
    resolved = resolve_study(
        tmp_path, create_section(), create_section(title="Again", axes={"model.losses.style.weight": [1e6, 1e9]})
    )
    assert len(resolved.runs) == 3


def test_run_key_follows_configuration_and_files(tmp_path: Path) -> None:
    def keys(**more: Any) -> list[str]:
        return [run.key for run in resolve_study(tmp_path, create_section(), **more).runs]

    first = keys()
    assert keys() == first
    assert keys(trainer={"log_every_n_steps": 3, "logger": False}) == first
    assert not set(keys(model={"initialization": "noise"})) & set(first)
    (tmp_path / "content.png").rename(tmp_path / "style2.png")
    study = read_study(["study.yaml"])
    (tmp_path / "style2.png").rename(tmp_path / "content.png")
    (tmp_path / "style.png").write_bytes((tmp_path / "content.png").read_bytes())
    assert not {run.key for run in StudyResolver([tmp_path]).resolve(study).runs} & set(first)


def test_snapshots_are_an_axis_of_one_run(tmp_path: Path) -> None:
    axes = {"start": {"noise": {"model": {"initialization": "noise"}}, "short": {"data.plan.steps": 2}}}
    (resolved_section,) = resolve_study(tmp_path, create_section(axes=axes, snapshots=[2, 4])).sections
    (figure,) = resolved_section.figures
    assert {place: cell.step for place, cell in figure.cells.items()} == {(0, 0): 2, (0, 1): None, (1, 0): None}
    assert figure.cells[0, 0].run.key == figure.cells[0, 1].run.key
    assert figure.cells[0, 0].run.configuration["snapshots"]["at_steps"] == [2]


def test_section_options_override_study_options_override_recipes(tmp_path: Path) -> None:
    resolved = resolve_study(
        tmp_path, create_section(), model={"initialization": "noise"}, data={"plan": {"steps": 9, "size": 48}}
    )
    run = resolved.runs[0]
    assert run.configuration["model"]["initialization"] == "noise"
    assert run.configuration["data"]["plan"]["steps"] == 4
    (small, *_) = StudyResolver([tmp_path], size=20).resolve(resolved.study).runs
    assert small.configuration["data"]["plan"]["size"] == 20


def test_study_accepts_another_backbone_for_all_runs(tmp_path: Path) -> None:
    study = read_study([str(write_study(tmp_path, create_section())), str(CONFIGS / "backbones" / "vgg19.yaml")])
    run = StudyResolver([tmp_path]).resolve(study).runs[0]
    assert run.configuration["model"]["backbone"]["class_path"].endswith("VGG19")
    assert run.configuration["model"]["backbone"]["init_args"]["weights"] == "imagenet"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"axes": {"model.losses.style.wieght": [1]}}, "the nearest is 'model.losses.style.weight'"),
        ({"axes": {"x": {"a": {"data.contnet": "y"}}}}, "the nearest is 'data.content'"),
        ({"axes": {"seed_everything": []}}, "to have values"),
        ({"axes": {"seed_everything": 3}}, "to be a list"),
        ({"axes": {"start": {"noise": 3}}}, "options for each label"),
        ({"axes": {"step": [1]}}, "other than 'step'"),
        ({"axes": [1]}, "`axes` of 'Sweep' to be options, but got [1]"),
        ({"title": 3}, "`title` of 3 to be text"),
        ({"text": None}, "`text` of 'Sweep' to be text"),
        ({"seed_everything": True}, "`seed_everything` of 'Sweep' to be a whole number or nothing, but got True"),
        ({"config": [3]}, "`config` of 'Sweep' to be text or a list of texts, but got [3]"),
        ({"titel": "x"}, "'title'?"),
        ({"rows": "seed"}, "to be one of its axes"),
        ({"columns": "model.losses.style.weight", "rows": "model.losses.style.weight"}, "to be different axes"),
        ({"model": {"initialisation": "noise"}}, "initialisation"),
        ({"data": [1]}, "`data` of 'Sweep' to be options"),
        ({"snapshots": [0]}, "to be positive"),
        ({"snapshots": ["3"]}, "`snapshots` of 'Sweep' to be a list of whole numbers"),
        ({"missing_layers": "keep"}, "refuse or drop"),
        ({"config": "nowhere.yaml"}, "nowhere.yaml"),
        ({"axes": {"model.losses.style.weight": ["heavy"]}}, "heavy"),
    ],
)
def test_study_rejects_mistakes_before_painting(
    changed: dict[str, Any], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_study(tmp_path, create_section(), create_section(title="Sweep") | changed)
    assert run_study() in (1, 2)
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not Path("out").exists()


@pytest.mark.parametrize(
    "text", ["- a list", "title: [", "sections: {a: 1}", "sections: [3]", "sections: [{title: x}]", "data: [1]"]
)
def test_read_study_rejects_other_files(text: str, tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(text)
    with pytest.raises(UsageError, match="Expected"):
        read_study(["study.yaml"])


def test_study_config_accepts_a_packaged_name(tmp_path: Path) -> None:
    (run, *_) = resolve_study(tmp_path, create_section(config="transfer")).runs
    assert run.key == resolve_study(tmp_path, create_section()).runs[0].key
    assert locate_config("assignment").resolve() == CONFIGS / "assignment.yaml"
    with pytest.raises(InputError, match=r"one of assignment, .*, but got 'nowhere/a\.yaml'"):
        locate_config("nowhere/a.yaml", [Path(), Path("b")])


def test_missing_layers_are_dropped_and_named(tmp_path: Path) -> None:
    layers = [f"conv_{n}" for n in range(1, 16)]
    declared = create_section(axes={"model.losses.style.layers": [layers]}, missing_layers="drop")
    (resolved_section,) = resolve_study(tmp_path, declared).sections
    kept = resolved_section.figures[0].cells[0, 0].run.configuration["model"]["losses"]["style"]["init_args"]["layers"]
    assert kept == layers[:13]
    assert resolved_section.notes == ["SlimVGG19 ends at conv_13: conv_14, conv_15 left out."]
    vgg = {"class_path": "nst_lightning.backbones.VGG19", "init_args": {"weights": "random"}}
    term = {"class_path": "GramLoss", "init_args": {"layers": [*layers, "image"]}}
    assert drop_missing_layers({"model": {"backbone": vgg, "losses": {"style": term}}}) == []


def test_assignment_contains_every_figure_of_the_report() -> None:
    study = read_study([str(CONFIGS / "assignment.yaml")])
    resolved = StudyResolver([CONFIGS], 64).resolve(study)
    cells = [sum(len(figure.cells) for figure in part.figures) for part in resolved.sections]
    assert cells == [4, 2, 8, 4, 4, 7, 2, 2, 2]
    assert resolved.sections[2].notes == ["SlimVGG19 ends at conv_13: conv_14, conv_15 left out."]
