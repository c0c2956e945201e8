"""The report: one HTML file that needs no network, made from plain data.

`ReportInput` is all that it knows; where policies, films and tables come from is the caller's business. Every text is
escaped by the templates, and the page's own policy forbids it to load anything or to run any script but its own.
"""

from robo_rlft.evaluation.report.comparison import build_comparison, count_failures, doubts, results_table
from robo_rlft.evaluation.report.page import render_report, write_report
from robo_rlft.evaluation.report.records import (
    EpisodeView,
    FailureCounts,
    LearningFigure,
    PolicyView,
    ReportInput,
    SceneComparison,
    Similarity,
    StepView,
)

__all__ = [
    "EpisodeView",
    "FailureCounts",
    "LearningFigure",
    "PolicyView",
    "ReportInput",
    "SceneComparison",
    "Similarity",
    "StepView",
    "build_comparison",
    "count_failures",
    "doubts",
    "render_report",
    "results_table",
    "write_report",
]
