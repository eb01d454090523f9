"""Write the report of a run: one page to look at, and its numbers.

Reads what the other stages wrote under folds/ and submissions/, and the strips of input/ that it shows; writes
submissions/report.html (one file, no network) and submissions/report.json.

    bash bin/report.sh
"""

from __future__ import annotations

import json

from severstal.artifacts import Artifact, write_text
from severstal.console import Stage, parser, paths_of
from severstal.errors import run_stage
from severstal.paths import Paths
from severstal.report import facts


def main() -> None:
    options = parser(__doc__).parse_args()
    paths = paths_of(options)
    stage = Stage("report", paths)
    artifact = Artifact(paths.report_facts, facts.inputs(paths), files=(paths.report_page,))
    if not stage.is_cached(artifact, paths.report_page):
        write(stage, paths, artifact)
    stage.done(keep_time=False)  # the page shows the record of times: its own time in there would outdate the page


def write(stage: Stage, paths: Paths, artifact: Artifact) -> None:
    from severstal.report import gallery, page  # the plots: a second that an up-to-date stage saves

    sources = facts.Sources.read(paths)
    stage.read(f"{len(sources.data.labels)} strips' maps, {len(sources.members)} networks' records", paths.submission)
    seen = sources.study()
    shown = gallery.training_strips(sources, seen) + gallery.test_strips(sources)
    gathered = facts.gather(sources, seen) | {"strips": [one.facts for one in shown]}
    gathered = json.loads(json.dumps(gathered))  # the page shows what the file holds
    write_text(paths.report_page, page.render(paths, gathered, shown))
    artifact.write_record(gathered)
    stage.wrote(paths.report_page, paths.report_facts)
    size = paths.report_page.stat().st_size / 1e6
    stage.say(f"{len(shown)} strips shown, {size:.1f} MB; open {paths.report_page.resolve().as_uri()} in a browser")


if __name__ == "__main__":
    run_stage(main)
