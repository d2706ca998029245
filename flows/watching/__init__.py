"""Watching a running service for drift, and starting the retraining run when there is one."""
