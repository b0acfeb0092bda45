"""What a run means: medians and ratios, pictures, the HTML report, CSV files and the terminal's table."""

from __future__ import annotations

from dataflow.report.summary import summary_rows
from dataflow.report.terminal import print_summary
from dataflow.report.writer import build

__all__ = ["build", "print_summary", "summary_rows"]
