"""The report in Prefect's web view: one Markdown artifact for each run, under a key of its application."""

import re
from collections.abc import Callable

from prefect.artifacts import create_markdown_artifact
from prefect.settings import PREFECT_API_REQUEST_TIMEOUT, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from flows.reporting.short import short_report
from flows.summary import RunSummary

ANSWER_S = 10.0
"""How long a finished run waits for the server to take the artifact."""


def key_of(application: str) -> str:
    """Return the key under which Prefect shows the latest report of an application, and the earlier ones."""
    return f"homeroom-{re.sub(r'[^a-z0-9]+', '-', application.lower()).strip('-')}"


def publish_report(summary: RunSummary, say: Callable[[str], None]) -> None:
    """Give Prefect's server the run's report in short, once; a server that does not take it stops no run.

    Must be called in a flow. The record in the store has all of it.
    """
    plain = summary.to_json()
    short = {PREFECT_CLIENT_MAX_RETRIES: 0, PREFECT_API_REQUEST_TIMEOUT: ANSWER_S}
    try:
        with temporary_settings(short):
            create_markdown_artifact(
                markdown=short_report(plain),
                key=key_of(summary.request.application),
                description=f"Run {summary.run}: {plain['release']['version']}",
            )
    except Exception as error:  # whatever Prefect or the way to it raises; the report is in the store
        say(f"Prefect's server did not take the report ({type(error).__name__}); it is in {summary.report}")
