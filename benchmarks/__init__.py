"""What volgraph costs, beside a peer measured in the same run: `python -m benchmarks`."""
