"""What a run costs: the machine it ran on, the resources it used, and one trial made into records."""
