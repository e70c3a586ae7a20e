"""Training of networks: skorch, ready-made batches and a budget; knows no estimator."""
