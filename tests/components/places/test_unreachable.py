"""Why a server cannot be reached: known causes have a sentence, unknown ones none."""

import socket

import pytest

from components.places.unreachable import why_unreachable


class ClientError(Exception):
    """As botocore's: the server's answer hangs on it."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.response = {"Error": {"Code": code}}


class EndpointConnectionError(Exception):
    """As botocore's: it knows the address."""

    kwargs = {"endpoint_url": "https://user:hunter2@s3.example.org:9000/district"}  # noqa: RUF012  # as botocore has it


def caused_by(error: Exception, cause: BaseException) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (caused_by(PermissionError("no"), ClientError("ExpiredToken")), "the credentials have expired"),
        (caused_by(EndpointConnectionError(), ConnectionRefusedError()), "at the server s3.example.org:9000: the conn"),
        (caused_by(EndpointConnectionError(), socket.gaierror()), "name of the server s3.example.org:9000 cannot be"),
        (TimeoutError(), "gave no answer in time"),
        (PermissionError(13, "no"), "may not be read with these rights"),
    ],
)
def test_known_causes_have_a_sentence_without_credentials(error: Exception, said: str) -> None:
    text = why_unreachable(error)
    assert text is not None
    assert said in text
    assert "hunter2" not in text


def test_an_unknown_cause_has_none_even_in_a_circle() -> None:
    first, second = ValueError(), KeyError()
    first.__context__, second.__context__ = second, first
    assert why_unreachable(first) is None
