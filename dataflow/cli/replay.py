"""``dataflow replay``: do the documents again that a run set aside."""

from __future__ import annotations

import shlex
import sys
from typing import Any

import click

from dataflow.cli.options import place_options


@click.command(short_help="Do quarantined documents again, and replace their rows.")
@click.argument("folder")
@click.option("--failed", is_flag=True, help="The failed documents too.")
@click.option(
    "--workload", help="Whose pipeline: the recorded one if left out; a name, or the path of a .py file."
)
@click.option("--timeout", type=float, metavar="SECONDS", help="Another limit a document and stage.")
@place_options
@click.option("--strict", is_flag=True, help="Exit with status 1 if any document isn't ok.")
def replay(
    folder: str, failed: bool, workload: str | None, timeout: float | None, strict: bool, **place: Any
) -> int:
    """Do the quarantined documents of FOLDER again, with the same workload, and replace their rows.

    Every other row stays as it is. Each document has one row at every moment, also when this is killed; what
    was replaced by then stays replaced.
    """
    from dataflow.cli.run import follow
    from dataflow.engine.contents import read_manifest
    from dataflow.engine.quarantine import replay as start
    from dataflow.engine.specs import check_cluster
    from dataflow.workload import load_workload

    header = read_manifest(folder).header
    name = workload or header.get("workload")
    if not name:
        raise click.UsageError(f"{folder} records no workload, since no command wrote it: add --workload.")
    loaded = load_workload(name)
    check_cluster(place["cluster"], place["workers"])
    running = start(
        folder,
        loaded.pipeline,
        failed=failed,
        timeout_seconds=timeout,
        search_path=loaded.search_path,
        **place,
    )
    if running is None:
        click.echo(f"nothing to replay: no document of {folder} is quarantined{' or failed' * failed}")
        return 0
    with running:
        try:
            return follow(running, folder, strict)
        except KeyboardInterrupt:
            command = shlex.join(["dataflow", *sys.argv[1:]])
            click.echo(f"what was replaced stays; go on with: {command}", err=True)
            raise
