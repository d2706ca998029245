"""`homeroom new`: the project of an own application, made from one that is there."""
