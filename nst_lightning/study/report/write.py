"""Writing the page, its contact sheets, plots and table."""

import csv
import hashlib
import io
import json
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from nst_lightning.images.atomic import write_bytes
from nst_lightning.study.engine.records import failure, state, summary
from nst_lightning.study.report.curves import curves_svg
from nst_lightning.study.report.sheets import write_sheet
from nst_lightning.study.report.view import SectionView, Side, Viewer, counted, curves_of, section_runs, terms_of
from nst_lightning.study.spec.plan import Part, ResolvedStudy
from nst_lightning.study.spec.words import slug
from nst_lightning.version import __version__

PAGE = "index.html"
RESULTS = "results.csv"

CURVES_IN_A_PLOT = 12


def write_page(plan: ResolvedStudy, output: Path) -> Path:
    """Writes ``index.html`` with all it shows, and ``results.csv``, as far as the study is done.

    Args:
        plan: the study.
        output: its folder, with the folders of its runs.

    Returns:
        The page.
    """
    output.mkdir(parents=True, exist_ok=True)
    terms = terms_of(plan, output)
    viewer = Viewer(output)
    page = {
        "key": page_key(plan, output),
        "title": plan.study.title,
        "text": plan.study.text,
        "counted": counted(plan, output),
        "sections": [_section(viewer, part, number) for number, part in enumerate(plan.parts, 1)],
        "terms": terms,
        "runs": [viewer.run(run, terms) for run in plan.runs],
    }
    write_bytes(output / RESULTS, _results(plan, output, terms).encode())
    write_bytes(output / PAGE, _render(page).encode())
    return output / PAGE


def is_up_to_date(plan: ResolvedStudy, output: Path) -> bool:
    """Whether the page shows this study as it is."""
    page = output / PAGE
    return page.exists() and f'content="{page_key(plan, output)}"' in page.read_text()


def page_key(plan: ResolvedStudy, output: Path) -> str:
    """What decides how a page looks, as a hash."""
    sections = [[repr(part.section), part.notes] for part in plan.parts]
    runs = [[run.key, run.label, state(run.folder(output))] for run in plan.runs]
    text = json.dumps([__version__, plan.study.title, plan.study.text, sections, runs])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _render(page: dict[str, Any]) -> str:
    environment = Environment(
        loader=PackageLoader("nst_lightning.study.report", "template"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    parts: Any = environment.get_template("parts.html").module
    css, js = (Markup(_source(environment, name)) for name in ("page.css", "page.js"))
    template = environment.get_template("page.html")
    return template.render(page=page, side=parts.side, place=parts.place, css=css, js=js)


def _source(environment: Environment, name: str) -> str:
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]


def _section(viewer: Viewer, part: Part, number: int) -> SectionView:
    anchor = f"{number}-{slug(part.section.title)}"
    view = SectionView(anchor, part.section.title, part.section.text, part.notes)
    for n, figure in enumerate(part.figures, 1):
        sheet = Path("sheets") / f"{anchor}-{n}.png"
        (viewer.output / "sheets").mkdir(exist_ok=True)
        write_sheet(figure, viewer.output, viewer.output / sheet)
        view.figures.append(viewer.figure(figure, sheet.as_posix()))
    view.plots = _plots(viewer.output, part, anchor)
    return view


def _plots(output: Path, part: Part, anchor: str) -> list[Side]:
    curves = list(curves_of(section_runs(part), output, part.section.title).items())
    plots = []
    for n, start in enumerate(range(0, len(curves), CURVES_IN_A_PLOT), 1):
        some = dict(curves[start : start + CURVES_IN_A_PLOT])
        path = output / "curves" / f"{anchor}-{n}.svg"
        path.parent.mkdir(exist_ok=True)
        write_bytes(path, curves_svg(some).encode())
        src = path.relative_to(output).as_posix()
        plots.append(Side("", src, f"Loss curves of {part.section.title}: {'; '.join(some)}"))
    return plots


def _results(plan: ResolvedStudy, output: Path, terms: list[str]) -> str:
    written = io.StringIO()
    head = ["run", "key", "state", "steps", "planned", "starts", "seconds", "width", "height", *terms, "message"]
    table = csv.DictWriter(written, head, restval="")
    table.writeheader()
    for run in plan.runs:
        folder = run.folder(output)
        made = summary(folder)
        line: dict[str, Any] = {"run": run.label, "key": run.key, "state": state(folder), "message": failure(folder)}
        if made is not None:
            line |= {name: made[name] for name in ("steps", "planned", "starts", "seconds")}
            line |= dict(zip(("width", "height"), made["size"], strict=True)) | made["losses"]
        table.writerow(line)
    return written.getvalue()
