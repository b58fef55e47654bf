"""What bounds and statuses rest on: certificates, exact sums, Farkas proofs."""
