"""``dataflow quarantine``: the documents that a run set aside."""

from __future__ import annotations

import click

from dataflow.document import as_text
from dataflow.errors import counted, utf8


@click.group(short_help="List the documents that a run set aside, with their reasons.")
def quarantine() -> None:
    """Look at the documents of an output folder that killed or hung their worker."""


@quarantine.command("ls", short_help="One line a document: status, type, attempts, document, reason.")
@click.argument("folder")
@click.option("--failed", is_flag=True, help="The failed documents too.")
def list_command(folder: str, failed: bool) -> None:
    """List the quarantined documents of FOLDER, tab-separated: status, type, attempts, document, reason."""
    from dataflow.engine.quarantine import list_quarantine

    count = 0
    for entry in list_quarantine(folder, failed=failed):
        count += 1
        fields = (entry.status, entry.error_type, entry.attempts, as_text(entry.document), entry.error)
        click.echo("\t".join(_field(f) for f in fields))
    option = " --failed" if failed else ""
    more = f"; do them again: dataflow replay {folder}{option}" if count else ""
    click.echo(f"{counted(count, 'document')}{more}", err=True)


def _field(value: object) -> str:
    text = utf8(str(value))
    return " ".join(text.split()) if "\t" in text or "\n" in text else text
