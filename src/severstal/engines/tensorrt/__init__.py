"""TensorRT and TensorRT-RTX, a noun a file: ONNX in a lower precision -> builder -> engine file with its sidecar ->
device buffers -> runtime. Only ``library.py`` imports TensorRT, only ``pycuda_buffers.py`` pycuda."""
