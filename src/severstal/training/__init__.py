"""Training of one network: samples, losses, mixed precision, the loop, and launching many trainings."""
