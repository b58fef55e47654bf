"""Makes `bank` importable from every test folder."""
