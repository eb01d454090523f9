"""What is known of the competition: its name on Kaggle and the size of its data."""

from __future__ import annotations

from dataclasses import dataclass

SITE = "https://www.kaggle.com"


@dataclass(frozen=True)
class Competition:
    """Number of images in the complete input folder, and the bytes of the competition's zip (rounded up)."""

    slug: str = "severstal-steel-defect-detection"
    train_images: int = 12_568
    test_images: int = 5_506
    zip_bytes: int = 1_700_000_000

    @property
    def page(self) -> str:
        """Address of the competition's page."""
        return f"{SITE}/competitions/{self.slug}"


SEVERSTAL = Competition()
