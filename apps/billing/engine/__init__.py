"""The ledger's rules and the arithmetic of money, without a database driver and without Django."""
