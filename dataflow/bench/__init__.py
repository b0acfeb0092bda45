"""What is compared with what: suites, randomised blocks, the baselines, and the run of an experiment."""
