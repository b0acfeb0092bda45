"""How a plan is run: batches, the bounded stream, recovery, the output's manifest, and the clusters."""
