"""A run of evaluations: which bitstream goes to which board, and the results.  Look here for throughput and retries."""
