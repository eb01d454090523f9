"""timm and segmentation-models-pytorch, importable beside a CPU-only torch too; everyone takes them from here."""

from __future__ import annotations

import torch


def _declare_missing_operators() -> None:
    """Let torchvision be imported beside a torch of another build (a CPU-only torch from a local index, say).

    PyPI's torchvision is compiled against CUDA torch; beside a CPU torch its library does not load and its
    import ends in ``operator torchvision::nms does not exist`` (pytorch/vision#9077, #9085). timm only needs
    the import to succeed, and nothing here calls these operators.
    """
    try:
        import torchvision  # noqa: F401
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        library = torch.library.Library("torchvision", "DEF")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _kept.append(library)  # a library's definitions vanish with it


_kept: list[torch.library.Library] = []
_declare_missing_operators()

import segmentation_models_pytorch as smp  # noqa: E402
import timm  # noqa: E402
import timm.utils  # noqa: E402

__all__ = ["smp", "timm"]
