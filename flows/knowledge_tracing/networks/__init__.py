"""Networks that turn answered steps into the logit of the next: plain modules that know nothing of training."""
