"""Trained model -> ONNX, with proof that both give the same answers."""
