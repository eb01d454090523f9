"""Write the report of a run: a page to look at, and its numbers.

Reads what the other stages wrote under folds/ and submissions/, and strips of input/; writes submissions/report.html
(a single file that needs no network) and submissions/report.json.

    bash bin/report.sh
"""

from __future__ import annotations

import json

from severstal.artifacts import Artifact, write_text
from severstal.console import Stage, parser, paths_of
from severstal.errors import run_stage
from severstal.paths import Paths
from severstal.report.sources import Sources, artifact_inputs
from severstal.run_lock import run_lock


def main() -> None:
    options = parser(__doc__).parse_args()
    paths = paths_of(options)
    stage = Stage("report", paths)
    artifact = Artifact(paths.report_facts, artifact_inputs(paths), files=(paths.report_page,))
    if not stage.is_cached(artifact, paths.report_page):
        with run_lock(paths.submissions):
            write(stage, paths, artifact)
    stage.done(keep_time=False)  # the page shows the stages' times: to record its own would outdate the page


def write(stage: Stage, paths: Paths, artifact: Artifact) -> None:
    from severstal.report import facts, gallery, page  # matplotlib: a second that a cached report does not need
    from severstal.report.evaluation import evaluate

    sources = Sources.read(paths)
    stage.read(f"{len(sources.data.labels)} strips' maps, {len(sources.members)} networks' records", paths.submission)
    evaluation = evaluate(sources.maps, sources.values)
    strips = gallery.training_strips(sources, evaluation) + gallery.test_strips(sources)
    collected = facts.collect(sources, evaluation) | {"strips": [strip.facts for strip in strips]}
    collected = json.loads(json.dumps(collected))  # the page shows exactly what the file holds
    write_text(paths.report_page, page.render(paths, collected, strips))
    artifact.write_record(collected)
    stage.wrote(paths.report_page, paths.report_facts)
    size = paths.report_page.stat().st_size / 1e6
    stage.say(f"{len(strips)} strips shown, {size:.1f} MB; open {paths.report_page.resolve().as_uri()} in a browser")


if __name__ == "__main__":
    run_stage(main)
