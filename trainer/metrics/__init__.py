"""What `self.log` keeps, and when it is read."""
