"""TensorRT and TensorRT-RTX: graph in a lower precision -> builder -> engine file with its sidecar -> device buffers ->
runtime. Only ``library.py`` imports TensorRT, only ``pycuda_buffers.py`` pycuda."""
