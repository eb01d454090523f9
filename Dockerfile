# Training, export and inference on an NVIDIA GPU, and JupyterLab on port 8888.
#
#   docker build -t severstal .
#   docker run --gpus all --shm-size 8g -p 127.0.0.1:8888:8888 -v "$PWD/input:/severstal/input" \
#     -v "$PWD/folds:/severstal/folds" -v "$PWD/submissions:/severstal/submissions" severstal
#   docker run --gpus all ... severstal bash bin/run_all.sh
#
# The CUDA of the image is that of the pinned torch and TensorRT wheels; its headers are what pycuda is compiled with.
FROM nvidia/cuda:13.0.1-devel-ubuntu24.04

SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ git python3.12 python3.12-dev python3.12-venv \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /severstal
RUN chown 1000:1000 /severstal
USER 1000:1000

# Dependencies first: a change of the code does not install them anew. setup.sh leaves .venv as on any machine, and its
# later calls find the dependencies complete.
COPY --chown=1000:1000 requirements*.txt requirements*.lock ./
COPY --chown=1000:1000 bin/setup.sh bin/
RUN WITH_GPU=1 bash bin/setup.sh \
    && .venv/bin/uv pip install --quiet --no-cache --python .venv/bin/python \
        --constraint requirements.lock -r requirements-notebooks.txt \
    && rm -rf ~/.cache

# Then the package itself, in editable mode.
COPY --chown=1000:1000 . .
ENV WITH_GPU=1
RUN bash bin/setup.sh
VOLUME ["/severstal/input", "/severstal/folds", "/severstal/submissions"]
EXPOSE 8888
# Inside the container all interfaces, so that the port can be published; it asks for the token that it prints.
CMD ["bash", "bin/notebooks.sh", "--ip=0.0.0.0"]
