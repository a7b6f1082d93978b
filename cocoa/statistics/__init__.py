"""Statistics of scores: aggregates, bootstrap intervals, paired differences, how many seeds would do."""
