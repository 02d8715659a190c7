"""The N-th system call fails, for every N: hub and nodes as real processes under a library of faults."""
