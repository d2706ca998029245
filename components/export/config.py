"""Configuration of the export."""

from components.config import config_class


@config_class
class ExportConfig:
    """What is exported and how far it may differ from torch."""

    opset: int = 20
    """ONNX operator set."""
    tolerance: float = 1e-5
    """Largest allowed absolute difference of an answer (a probability, points of a rubric) from torch, on any batch."""
    real_batches: int = 20
    """Validation batches that are compared."""
    int8: bool = False
    """Also write a model with 8-bit weights."""
    int8_tolerance: float = 0.02
    """Largest allowed absolute difference of an answer of the 8-bit model."""

    def __post_init__(self) -> None:
        if not 18 <= self.opset <= 23:
            raise ValueError(f"opset={self.opset} is not written here; use 18 to 23, e.g. 20.")
        if self.tolerance <= 0 or self.int8_tolerance <= 0 or self.real_batches < 1:
            raise ValueError(
                f"tolerance={self.tolerance} and int8_tolerance={self.int8_tolerance} must be above 0, "
                f"real_batches={self.real_batches} at least 1."
            )
