"""Numbers per snapshot of a flow, none of which trusts a solver."""
