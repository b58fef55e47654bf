"""What came back: records, ledger, folder."""
