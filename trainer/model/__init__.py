"""What a LightningModule is made of: hooks, hyperparameters, exports, and itself under Fabric."""
