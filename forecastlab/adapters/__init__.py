"""What other packages do not promise, one module per package: nothing else here uses their private names."""
