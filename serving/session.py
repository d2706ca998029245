"""A model in ONNX Runtime: bytes -> outputs by name, with the threads that were asked for and no more."""

import logging
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

import numpy.typing as npt

from components.inference import open_session
from serving.errors import BundleError, ModelError

Inputs = Mapping[str, npt.NDArray[Any]]  # Any: each array has its own dtype
log = logging.getLogger("homeroom.serving")


class Session:
    """Runs one ONNX model on the CPU. Safe to call from several threads.

    Args:
        model: the bytes of the ONNX file (verified by the caller; the file is not read again).
        outputs: names of the outputs that are wanted.
        threads: of ONNX Runtime within one run; 1 is best for small models and many workers.

    Raises:
        BundleError: ONNX Runtime refuses the model, or it has not these outputs.
    """

    def __init__(self, model: bytes, outputs: Sequence[str], *, threads: int = 1) -> None:
        try:
            self._session = open_session(model, threads)
        except Exception as error:  # ONNX Runtime has its own, unrelated exception classes
            raise BundleError(
                f"ONNX Runtime {version('onnxruntime')} refuses the model ({type(error).__name__}). Export it again, "
                "or use the version that the release was made with."
            ) from error
        self.inputs = tuple(i.name for i in self._session.get_inputs())
        self.outputs = tuple(outputs)
        there = [o.name for o in self._session.get_outputs()]
        missing = [name for name in outputs if name not in there]
        if missing:
            raise BundleError(f"The model has no output {', '.join(missing)}; it has {', '.join(there)}.")
        self._told = False

    def run(self, inputs: Inputs) -> dict[str, npt.NDArray[Any]]:
        """Return the outputs by name. Inputs that the graph does not have are dropped, and named in the log once.

        Raises:
            ModelError: the graph needs an input that is not given, or cannot compute with what is.
        """
        if not self._told:
            self._tell(inputs)
        try:
            feed = {name: inputs[name] for name in self.inputs}
        except KeyError:
            missing = [name for name in self.inputs if name not in inputs]
            raise ModelError(
                f"The codec does not make the input {', '.join(missing)} that the model needs; it makes "
                f"{', '.join(sorted(inputs))}. Model and codec are not of one release."
            ) from None
        try:
            values = self._session.run(self.outputs, feed)
        except Exception as error:  # as above
            raise ModelError(f"The model could not compute ({type(error).__name__}).") from error
        return dict(zip(self.outputs, values, strict=True))

    def _tell(self, inputs: Inputs) -> None:
        self._told = True
        dropped = sorted(set(inputs) - set(self.inputs))
        if dropped:
            log.warning("The model does not use these inputs of the codec: %s", ", ".join(dropped))
