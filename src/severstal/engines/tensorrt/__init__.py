"""The parts of the TensorRT engine: library, precision, builder, sidecar, buffers, running."""
