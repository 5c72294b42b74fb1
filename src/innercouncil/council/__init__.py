"""The deliberation: answers, ballots, tally, synthesis; no web, no database, no backend in it."""
