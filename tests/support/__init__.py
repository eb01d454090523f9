"""What several tests share: small experiments, finished and exported runs, stand-ins, and commands."""
