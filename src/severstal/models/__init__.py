"""Networks: encoders, the U-Net, the graph that is exported, and weight files."""
