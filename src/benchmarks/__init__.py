"""Benchmarks of inference, loading and tuning, each beside the baselines that it is compared with."""
