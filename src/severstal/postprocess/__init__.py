"""The metric of the competition, and the rules that turn a probability map into a mask."""
