"""Writes the page with its contact sheets, plots and table."""

import csv
import hashlib
import io
import json
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from nst_lightning.images.atomic import write_bytes
from nst_lightning.images.opening import DEFAULT_MAX_PIXELS, limit_pixels
from nst_lightning.study.engine.run_records import read_failure, read_status, read_summary
from nst_lightning.study.report.contact_sheets import write_sheet
from nst_lightning.study.report.curve_plots import plot_curves
from nst_lightning.study.report.page_data import (
    LabeledImage,
    PageDataBuilder,
    SectionView,
    collect_curves,
    collect_terms,
    describe_progress,
)
from nst_lightning.study.spec.labels import slug
from nst_lightning.study.spec.resolved_study import ResolvedSection, ResolvedStudy
from nst_lightning.version import __version__

PAGE_FILE = "index.html"
TABLE_FILE = "results.csv"
# Further curves of a section go into further plots.
CURVES_PER_PLOT = 12


def write_page(study: ResolvedStudy, output: Path) -> Path:
    """Writes the page, all files that it shows, and the table ``results.csv``.

    Args:
        study: the study; any number of its runs may be done.
        output: folder of the study with the run folders.

    Returns:
        The path of the page.
    """
    output.mkdir(parents=True, exist_ok=True)
    terms = collect_terms(study, output)
    builder = PageDataBuilder(output)
    max_pixels = max((run.configuration["max_pixels"] for run in study.runs), default=DEFAULT_MAX_PIXELS)
    # The page shows the pictures that the runs have read.
    with limit_pixels(max_pixels):
        sections = [_write_section(builder, section, number) for number, section in enumerate(study.sections, 1)]
    page = {
        "key": page_key(study, output),
        "title": study.study.title,
        "text": study.study.text,
        "progress": describe_progress(study, output),
        "sections": sections,
        "terms": terms,
        "runs": [builder.build_table_row(run, terms) for run in study.runs],
    }
    write_bytes(output / TABLE_FILE, _render_table(study, output, terms).encode())
    write_bytes(output / PAGE_FILE, _render_page(page).encode())
    return output / PAGE_FILE


def is_up_to_date(study: ResolvedStudy, output: Path) -> bool:
    """Whether the page shows the current state of the study."""
    page = output / PAGE_FILE
    return page.exists() and f'content="{page_key(study, output)}"' in page.read_text()


def page_key(study: ResolvedStudy, output: Path) -> str:
    """Returns a hash of everything that decides what the page shows."""
    sections = [[repr(section.section), section.notes] for section in study.sections]
    runs = [[run.key, run.label, read_status(run.folder(output))] for run in study.runs]
    text = json.dumps([__version__, study.study.title, study.study.text, sections, runs])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _write_section(builder: PageDataBuilder, section: ResolvedSection, number: int) -> SectionView:
    declared, output = section.section, builder.output
    anchor = f"{number}-{slug(declared.title)}"
    view = SectionView(anchor, declared.title, declared.text, section.notes)
    for n, figure in enumerate(section.figures, 1):
        sheet = Path("sheets") / f"{anchor}-{n}.png"
        (output / sheet).parent.mkdir(exist_ok=True)
        write_sheet(figure, output, output / sheet)
        view.figures.append(builder.build_figure(figure, sheet.as_posix()))
    curves = list(collect_curves(section, output).items())
    for n, start in enumerate(range(0, len(curves), CURVES_PER_PLOT), 1):
        plotted = dict(curves[start : start + CURVES_PER_PLOT])
        path = Path("curves") / f"{anchor}-{n}.svg"
        (output / path).parent.mkdir(exist_ok=True)
        write_bytes(output / path, plot_curves(plotted).encode())
        alt = f"Loss curves of {declared.title}: {'; '.join(plotted)}"
        view.plots.append(LabeledImage("", path.as_posix(), alt))
    return view


def _render_page(page: dict[str, Any]) -> str:
    loader = PackageLoader("nst_lightning.study.report", "template")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    macros: Any = environment.get_template("macros.html").module
    # CSS and JavaScript are part of the page, so that it is one file that works without a server.
    css, js = (Markup(loader.get_source(environment, name)[0]) for name in ("page.css", "page.js"))
    template = environment.get_template("page.html")
    return template.render(page=page, header=macros.header, tile=macros.tile, css=css, js=js)


def _render_table(study: ResolvedStudy, output: Path, terms: list[str]) -> str:
    text = io.StringIO()
    columns = ["run", "key", "state", "steps", "planned", "starts", "seconds", "width", "height", *terms, "message"]
    table = csv.DictWriter(text, columns, restval="")
    table.writeheader()
    for run in study.runs:
        folder = run.folder(output)
        row: dict[str, Any] = {"run": run.label, "key": run.key}
        row |= {"state": read_status(folder), "message": read_failure(folder)}
        summary = read_summary(folder)
        if summary is not None:
            row |= {name: summary[name] for name in ("steps", "planned", "starts", "seconds")}
            row |= dict(zip(("width", "height"), summary["size"], strict=True)) | summary["losses"]
        table.writerow(row)
    return text.getvalue()
