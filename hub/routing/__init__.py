"""Where a message may go: pure functions from an envelope, the directory and the policy to an answer."""
