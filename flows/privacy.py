"""Usage reports that the packages below us would send to their makers: off, unless somebody turned them on."""

import os

SWITCHES = {
    "DO_NOT_TRACK": "1",  # Prefect's client
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "BENTOML_DO_NOT_TRACK": "True",
    "ORT_DISABLE_TELEMETRY": "1",  # ONNX Runtime writes a device's identifier on import
}


def refuse_tracking() -> None:
    """Set the switches where they are not set; call it before Prefect, BentoML or ONNX Runtime is imported."""
    for name, value in SWITCHES.items():
        os.environ.setdefault(name, value)
