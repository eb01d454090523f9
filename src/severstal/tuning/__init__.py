"""Choice of ensemble weights and rules on out-of-fold maps: exact grids, selection, search, pictures."""
