"""The one place that imports timm and segmentation-models-pytorch, so that they also import beside a CPU-only torch."""

from __future__ import annotations

import torch


def _declare_missing_operators() -> None:
    """Let torchvision be imported beside a torch of another build, such as a CPU-only torch from a local index.

    PyPI's torchvision is compiled against the CUDA build of torch. Beside a CPU build its library does not load, and
    its import ends in ``operator torchvision::nms does not exist`` (pytorch/vision#9077, #9085). timm only needs the
    import to succeed; nothing in this repository calls these operators.
    """
    try:
        import torchvision  # noqa: F401
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        library = torch.library.Library("torchvision", "DEF")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _LIBRARIES.append(library)  # the definitions are removed with the object


_LIBRARIES: list[torch.library.Library] = []
_declare_missing_operators()

import segmentation_models_pytorch as smp  # noqa: E402
import timm  # noqa: E402
import timm.utils  # noqa: E402

__all__ = ["smp", "timm"]
