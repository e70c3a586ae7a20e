"""Training of networks with skorch, ready-made batches and a budget; independent of estimators."""
