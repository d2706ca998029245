"""The name of the reference in a release; apart, as a stage that only names it needs nothing of monitoring."""

REFERENCE = "reference.json"
