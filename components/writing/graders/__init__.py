"""The graders of scored writing, of which a configuration chooses one."""
