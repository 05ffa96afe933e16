from pathlib import Path
from typing import Any

import pytest

from nst_lightning.errors import InputError, UsageError
from nst_lightning.study.spec.config_files import locate_config
from nst_lightning.study.spec.study_files import read_study
from nst_lightning.study.spec.study_resolver import StudyResolver
from tests.helpers import CONFIGS
from tests.study.studies import create_section, resolve_study, run_study, write_study

pytestmark = pytest.mark.usefixtures("empty_folder")


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


def test_study_config_accepts_a_packaged_name(tmp_path: Path) -> None:
    (run, *_) = resolve_study(tmp_path, create_section(config="transfer")).runs
    assert run.key == resolve_study(tmp_path, create_section()).runs[0].key
    assert locate_config("assignment").resolve() == CONFIGS / "assignment.yaml"
    with pytest.raises(InputError, match=r"one of assignment, .*, but got 'nowhere/a\.yaml'"):
        locate_config("nowhere/a.yaml", [Path(), Path("b")])


def test_assignment_contains_every_figure_of_the_report() -> None:
    study = read_study([str(CONFIGS / "assignment.yaml")])
    resolved = StudyResolver([CONFIGS], 64).resolve(study)
    cells = [sum(len(figure.cells) for figure in part.figures) for part in resolved.sections]
    assert cells == [4, 2, 8, 4, 4, 7, 2, 2, 2]
    assert "transfer.yaml" not in {section.config for section in study.sections}
    for run in resolved.sections[2].runs:
        style = run.configuration["model"]["losses"]["style"]["init_args"]
        assert (style["weight"], style["whitening"], len(style["layers"]) >= 5) == (1e6, None, True)
    for run in (run for part in resolved.sections[3:8] for run in part.runs):
        plan, losses = run.configuration["data"]["plan"], run.configuration["model"]["losses"]
        assert (plan["ladder"], plan["steps"] in (300, 1000, 6000), run.configuration["seed_everything"]) == (
            "none",
            True,
            92,
        )
        assert set(losses) == {"content", "style"}
        assert losses["content"]["init_args"]["layers"] == ["conv_3"]
        assert losses["style"]["init_args"]["whitening"] is None
    assert resolved.sections[2].notes == ["SlimVGG19 ends at conv_13: conv_14, conv_15 left out."]


def test_style_with_options_of_its_own(tmp_path: Path) -> None:
    own = {"file": "style.png", "scale": 0.5}
    axes = {"data.style": ["style.png", own, ["sample:ink", own]]}
    (section,) = resolve_study(tmp_path, create_section(axes=axes), data={"style": own | {"scale": 2}}).sections
    assert [run.configuration["data"]["style"] for run in section.runs] == ["style.png", own, ["sample:ink", own]]
    (shared,) = resolve_study(tmp_path, create_section(axes={"seed_everything": [1]}, data={"style": own})).runs
    assert shared.configuration["data"]["style"] == own
    with pytest.raises(InputError, match="did you mean 'rotation'"):
        resolve_study(tmp_path, create_section(axes={"data.style": [own | {"rotate": 90}]}))


def test_snapshots_count_the_steps_of_all_sizes(tmp_path: Path) -> None:
    plan = {"size": 64, "ladder": "octaves", "smallest": 32, "first_steps": 7, "steps": 5}
    section = create_section(data={"plan": plan}, axes={"seed_everything": [1]}, snapshots=[4, 12])
    (resolved_section,) = resolve_study(tmp_path, section).sections
    cells = resolved_section.figures[0].cells
    # 7 steps at 32 px and 5 at 64 px: step 4 is a snapshot, step 12 the end.
    assert [cell.step for cell in cells.values()] == [4, None]
    assert {cell.run.steps for cell in cells.values()} == {12}


def test_snapshots_beyond_the_end_of_all_runs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="end before step 1000"):
        resolve_study(tmp_path, create_section(snapshots=[1000, 2000]))
