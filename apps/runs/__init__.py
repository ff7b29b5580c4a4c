"""What all the ways in share: a run followed event by event, its report, threads, checkpointers, errors."""
