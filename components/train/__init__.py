"""Training as a child process: the stage writes a job, a launcher runs it, the trainer does the work."""
